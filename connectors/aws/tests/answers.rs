//! Answers that are not whole, or not what they look like.

use super::*;

const DETAILS: &str = "/?Action=GetAccountAuthorizationDetails&Version=2010-05-08&MaxItems=1000";

#[tokio::test]
async fn a_list_without_a_known_end_is_not_complete() {
    let table = [
        ("<IsTruncated>false</IsTruncated>", "", "IsTruncated is missing"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>", "no Marker"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated><Marker/>", "no Marker"),
    ];
    for (from, to, told) in table {
        let run = changed(DETAILS, |body| body.replace(from, to)).run("access").await;
        assert!(gap(&run, "iam:GetAccountAuthorizationDetails").detail.contains(told), "{to}: {:#?}", run.gaps);
        assert_eq!(complete(&run), [spec::ACCOUNT], "{to}");
        let account = &resources(&run, spec::ACCOUNT)[NUMBER];
        assert!(matches!(account["admin_principal_arns"], Field::Unread(GapReason::Malformed, _)), "{to}");
    }
}

#[tokio::test]
async fn a_next_page_that_leads_back_ends_the_walk() {
    let again = "/?Action=GetAccountAuthorizationDetails&Version=2010-05-08&MaxItems=1000&Marker=again";
    let body = fixture("mixed").answer("POST", DETAILS).unwrap().body;
    let body =
        body.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated><Marker>again</Marker>");
    let pages = Fixture::default().with("POST", DETAILS, 200, &body).with("POST", again, 200, &body);
    let run = Harness::new(pages.then(fixture("mixed")), |url| Box::new(config(url))).run("access").await;
    assert!(gap(&run, "iam:GetAccountAuthorizationDetails").detail.contains("read before"), "{:#?}", run.gaps);
    assert_eq!(complete(&run), [spec::ACCOUNT]);
}

#[tokio::test]
async fn a_list_that_shrank_to_nothing_is_held_against_the_count() {
    let emptied = |list: &'static str| {
        changed(DETAILS, move |body| {
            let (before, rest) = body.split_once(&format!("<{list}>")).unwrap();
            let (_, after) = rest.split_once(&format!("</{list}>")).unwrap();
            format!("{before}<{list}/>{after}")
        })
    };
    let run = emptied("UserDetailList").run("access").await;
    let gap_found = gap(&run, "iam:GetAccountSummary");
    assert_eq!(gap_found.reason, GapReason::Truncated);
    assert!(!complete(&run).contains(&spec::USER) && complete(&run).contains(&spec::ROLE), "{:?}", complete(&run));
    let unread = |run: &CollectionRun| {
        matches!(resources(run, spec::ACCOUNT)[NUMBER]["admin_principal_arns"], Field::Unread(..))
    };
    assert!(unread(&run), "who holds full rights rests on the list of users");
    for list in ["GroupDetailList", "Policies"] {
        let run = emptied(list).run("access").await;
        assert!(unread(&run), "who holds full rights rests on {list}");
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_leaves_open_who_holds_full_rights() {
    let run =
        changed(DETAILS, |body| body.replacen("<PolicyDocument>%7B", "<PolicyDocument>%7C", 1)).run("access").await;
    assert_eq!(run.outcome, Outcome::Partial);
    let account = &resources(&run, spec::ACCOUNT)[NUMBER];
    assert!(matches!(account["admin_principal_arns"], Field::Unread(GapReason::Malformed, _)));
    assert_eq!(complete(&run).len(), 4, "every user, role and policy is known nevertheless");
}

#[tokio::test]
async fn a_list_of_an_item_that_is_left_out_was_not_read_and_an_empty_one_was() {
    let without = |list: &'static str, first: &'static str| {
        changed(DETAILS, move |body| {
            let (before, item) = body.split_once(first).unwrap();
            let from = item.find(&format!("<{list}")).unwrap();
            let (head, rest) = item.split_at(from);
            let end = match rest.strip_prefix(&format!("<{list}/>")) {
                Some(after) => after,
                None => rest.split_once(&format!("</{list}>")).unwrap().1,
            };
            format!("{before}{first}{head}{end}")
        })
    };
    let rights = |run: &CollectionRun| resources(run, spec::ACCOUNT)[NUMBER]["admin_principal_arns"].clone();
    for (list, item) in [
        ("GroupList", "<UserDetailList>"),
        ("AttachedManagedPolicies", "<UserDetailList>"),
        ("GroupPolicyList", "<GroupDetailList>"),
        ("AttachedManagedPolicies", "<GroupDetailList>"),
        ("RolePolicyList", "<RoleDetailList>"),
        ("AttachedManagedPolicies", "<RoleDetailList>"),
        ("PolicyVersionList", "<Policies>"),
    ] {
        let run = without(list, item).run("access").await;
        let read = rights(&run);
        assert!(matches!(read, Field::Unread(GapReason::Malformed, _)), "{list} of {item}: {read:?}");
    }
    let run = without("GroupList", "<UserDetailList>").run("access").await;
    let unread = |fields: &BTreeMap<String, Field>| matches!(fields["groups"], Field::Unread(GapReason::Malformed, _));
    assert_eq!(resources(&run, spec::USER).into_values().filter(unread).count(), 1, "of that user alone");
    // AWS leaves this one out of a user who has none.
    let run = without("UserPolicyList", "<UserDetailList>").run("access").await;
    assert_eq!((run.outcome, matches!(rights(&run), Field::Read(_))), (Outcome::Collected, true), "{:#?}", run.gaps);
}

#[tokio::test]
async fn throttled_in_the_body_of_an_answer_is_throttled() {
    let slow = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
        </ErrorResponse>";
    let target = "/?Action=GetAccountSummary&Version=2010-05-08";
    let fixture = Fixture::default().with("POST", target, 400, slow).then(fixture("mixed"));
    let run = Harness::new(fixture, |url| Box::new(config(url))).run("account").await;
    let gap = gap(&run, "iam:GetAccountSummary");
    assert_eq!((gap.reason, gap.detail.as_str()), (GapReason::Throttled, "400 Throttling"));
    let asked = run.exchanges.iter().find(|e| e.call == "iam:GetAccountSummary").unwrap();
    assert_eq!(asked.tries.len(), 2, "it was tried again first");
}

#[tokio::test]
async fn a_report_without_its_root_row_leaves_root_unread_only() {
    let target = "/?Action=GetCredentialReport&Version=2010-05-08";
    let run = changed(target, |body| {
        let (before, rest) = body.split_once("<Content>").unwrap();
        let (content, after) = rest.split_once("</Content>").unwrap();
        let table = String::from_utf8(base64(content)).unwrap();
        let kept: Vec<&str> = table.lines().filter(|line| !line.starts_with("<root_account>")).collect();
        format!("{before}<Content>{}</Content>{after}", encoded(kept.join("\n").as_bytes()))
    });
    let run = run.run("credentials").await;
    assert_eq!(complete(&run), [spec::ACCESS_KEY, spec::ACCOUNT, spec::USER_ROW]);
}

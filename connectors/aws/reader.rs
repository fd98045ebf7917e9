//! Documents that make a reader of an AWS account, from the permissions that the calls declare.

use kit::{CollectorSpec, Document};
use serde_json::{Value, json};

/// In the order in which they are named.
pub(crate) const DOCUMENTS: &[Document] = &[
    Document {
        format: "iam-policy",
        file: "aws/iam-policy.json",
        about: "an IAM policy for the role or user that reads one AWS account",
        make: policy,
    },
    Document {
        format: "cloudformation",
        file: "aws/cloudformation.yaml",
        about: "the same as a role that the daemon may assume, for CloudFormation",
        make: cloudformation,
    },
    Document {
        format: "terraform",
        file: "aws/reader.tf",
        about: "the same as a role that the daemon may assume, for Terraform",
        make: terraform,
    },
];

/// What is granted in the reader's own account, to reach the others.
const ASSUME: &str = "sts:AssumeRole";
/// What is needed only where `cloudtrail` stands in the settings.
const CHANGES: &str = "cloudtrail:";

/// The actions to allow: those of reading, then those that tell who changed what. Sorted, each once.
fn actions(collectors: &[CollectorSpec]) -> (Vec<&'static str>, Vec<&'static str>) {
    let all: std::collections::BTreeSet<_> = collectors.iter().flat_map(CollectorSpec::permissions).collect();
    all.into_iter().filter(|action| *action != ASSUME).partition(|action| !action.starts_with(CHANGES))
}

fn policy(collectors: &[CollectorSpec]) -> String {
    let (identity, changes) = actions(collectors);
    let statement = |sid: &str, actions: &[&str]| -> Value {
        json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*" })
    };
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [
            statement("EvidencedReadsIdentity", &identity),
            statement("EvidencedReadsWhoChangedWhat", &changes),
        ],
    });
    format!("{document:#}\n")
}

/// One item a line, each after `before` and followed by `after`.
fn lines(items: &[&str], before: &str, after: &str) -> String {
    items.iter().map(|item| format!("{before}{item}{after}\n")).collect()
}

fn cloudformation(collectors: &[CollectorSpec]) -> String {
    let (identity, changes) = actions(collectors);
    let item = "                  - ";
    format!(
        "\
# Made by `evidenced permissions --format cloudformation`. A role that reads the identity part of this account, and nothing
# that it could change. For many accounts: the same template as a StackSet of the organisation.
AWSTemplateFormatVersion: '2010-09-09'
Description: A role by which evidenced reads how this account is set up.
Parameters:
  TrustedPrincipal:
    Type: String
    Description: ARN of the role or user that evidenced runs as
    AllowedPattern: 'arn:aws[a-z-]*:iam::[0-9]{{12}}:(role|user)/.+'
  ExternalId:
    Type: String
    Description: A word that only you and the settings of evidenced know (external_id)
    MinLength: 2
    MaxLength: 1224
  RoleName:
    Type: String
    Default: evidenced-reader
  WhoChangedWhat:
    Type: String
    Description: Whether it may look up who changed what (cloudtrail in the settings)
    AllowedValues: ['true', 'false']
    Default: 'true'
Conditions:
  LooksUp: !Equals [!Ref WhoChangedWhat, 'true']
Resources:
  Reader:
    Type: AWS::IAM::Role
    Properties:
      RoleName: !Ref RoleName
      MaxSessionDuration: 3600
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement:
          - Effect: Allow
            Principal: {{AWS: !Ref TrustedPrincipal}}
            Action: {ASSUME}
            Condition: {{StringEquals: {{'sts:ExternalId': !Ref ExternalId}}}}
      Policies:
        - PolicyName: evidenced-reads-identity
          PolicyDocument:
            Version: '2012-10-17'
            Statement:
              - Sid: EvidencedReadsIdentity
                Effect: Allow
                Action:
{}                Resource: '*'
  ReaderOfChanges:
    Type: AWS::IAM::Policy
    Condition: LooksUp
    Properties:
      PolicyName: evidenced-reads-who-changed-what
      Roles: [!Ref Reader]
      PolicyDocument:
        Version: '2012-10-17'
        Statement:
              - Sid: EvidencedReadsWhoChangedWhat
                Effect: Allow
                Action:
{}                Resource: '*'
Outputs:
  RoleArn:
    Description: For the settings of evidenced (role_arn)
    Value: !GetAtt Reader.Arn
",
        lines(&identity, item, ""),
        lines(&changes, item, ""),
    )
}

fn terraform(collectors: &[CollectorSpec]) -> String {
    let (identity, changes) = actions(collectors);
    format!(
        r#"# Made by `evidenced permissions --format terraform`. A role that reads the identity part of this account, and nothing
# that it could change.

terraform {{
  required_providers {{
    aws = {{
      source = "hashicorp/aws"
    }}
  }}
}}

variable "trusted_principal" {{
  description = "ARN of the role or user that evidenced runs as"
  type        = string
}}

variable "external_id" {{
  description = "A word that only you and the settings of evidenced know (external_id)"
  type        = string
  sensitive   = true
}}

variable "role_name" {{
  type    = string
  default = "evidenced-reader"
}}

variable "who_changed_what" {{
  description = "Whether it may look up who changed what (cloudtrail in the settings)"
  type        = bool
  default     = true
}}

data "aws_iam_policy_document" "trust" {{
  statement {{
    actions = ["{ASSUME}"]
    principals {{
      type        = "AWS"
      identifiers = [var.trusted_principal]
    }}
    condition {{
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }}
  }}
}}

data "aws_iam_policy_document" "reads" {{
  statement {{
    sid       = "EvidencedReadsIdentity"
    resources = ["*"]
    actions = [
{}    ]
  }}

  dynamic "statement" {{
    for_each = var.who_changed_what ? [1] : []
    content {{
      sid       = "EvidencedReadsWhoChangedWhat"
      resources = ["*"]
      actions = [
{}      ]
    }}
  }}
}}

resource "aws_iam_role" "reader" {{
  name                 = var.role_name
  max_session_duration = 3600
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}}

resource "aws_iam_role_policy" "reads" {{
  name   = "evidenced-reads"
  role   = aws_iam_role.reader.id
  policy = data.aws_iam_policy_document.reads.json
}}

output "role_arn" {{
  description = "For the settings of evidenced (role_arn)"
  value       = aws_iam_role.reader.arn
}}
"#,
        lines(&identity, "      \"", "\","),
        lines(&changes, "        \"", "\","),
    )
}

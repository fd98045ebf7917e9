//! AWS's own description of its answers, read against an answer: types, members, enumerations, lists, errors.

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// The root user has neither a name nor a path, whatever the model says of users.
const NOT_OF_ROOT: [&str; 2] = ["Path", "UserName"];

/// One element.
#[derive(Default, Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    pub(crate) fn parse(text: &str) -> Element {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    let namespace = start.try_get_attribute("xmlns").unwrap();
                    open.push(Element {
                        name: start.name().as_ref().to_owned(),
                        namespace: namespace.map(|value| value.value.into_owned()),
                        ..Element::default()
                    });
                }
                Event::End(_) => {
                    let element = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(element);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(entity) => {
                    let named = match &*entity {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        other => panic!("the entity {other:?}"),
                    };
                    open.last_mut().unwrap().text.push(named);
                }
                Event::Eof => break,
                other => panic!("unexpected {other:?}"),
            }
        }
        open.pop().unwrap().children.pop().unwrap()
    }

    /// The first element of that name, in the order of reading.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// The texts of a child of that name, of every member of a list.
    pub(crate) fn each(&self, list: &str, child: &str) -> Vec<String> {
        let members = self.find(list).into_iter().flat_map(|list| &list.children);
        members.map(|member| member.children.iter().find(|c| c.name == child).unwrap().text.clone()).collect()
    }
}

/// What is wrong with the answer to an action, by the model of its service; nothing, when nothing is.
pub(crate) fn faults(service: &str, action: &str, status: u16, answer: &Element) -> Vec<String> {
    let model = &model()["services"][service];
    let operation = &model["operations"][action];
    assert!(operation.is_object(), "{service}:{action} is not in the model");
    let mut faults = Vec::new();
    if answer.namespace.as_deref() != model["metadata"]["xmlNamespace"].as_str() {
        faults.push(format!("the namespace is {:?}", answer.namespace));
    }
    if status != 200 {
        error(model, operation, status, answer, &mut faults);
        return faults;
    }
    let wrapper = operation["output"]["resultWrapper"].as_str().unwrap();
    let (response, metadata) = (format!("{action}Response"), "ResponseMetadata");
    let names: Vec<&str> = answer.children.iter().map(|child| child.name.as_str()).collect();
    if answer.name != response || names != [wrapper, metadata] {
        faults.push(format!("{} holds {names:?}, not {response} with {wrapper} and {metadata}", answer.name));
        return faults;
    }
    value(model, operation["output"]["shape"].as_str().unwrap(), &answer.children[0], wrapper, &mut faults);
    faults
}

fn model() -> &'static Value {
    static MODEL: OnceLock<Value> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("published/aws.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

/// An error has a code and a status that the action declares, or that every action shares.
fn error(model: &Value, operation: &Value, status: u16, answer: &Element, faults: &mut Vec<String>) {
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
    const COMMON: [(&str, u16); 9] = [
        ("AccessDenied", 403),
        ("ExpiredToken", 403),
        ("IncompleteSignature", 403),
        ("InvalidAction", 400),
        ("InvalidClientTokenId", 403),
        ("MissingAuthenticationToken", 403),
        ("SignatureDoesNotMatch", 403),
        ("Throttling", 400),
        ("ValidationError", 400),
    ];
    let code = answer.find("Code").map(|code| code.text.clone()).unwrap_or_default();
    let declared = operation["errors"].as_array().into_iter().flatten().any(|error| {
        let about = &model["shapes"][error["shape"].as_str().unwrap()]["error"];
        about["code"] == code.as_str() && about["httpStatusCode"] == status
    });
    if !declared && !COMMON.contains(&(code.as_str(), status)) {
        faults.push(format!("{status} {code} is no error of this action"));
    }
    for part in ["Type", "Message", "RequestId"] {
        if answer.name != "ErrorResponse" || answer.find(part).is_none_or(|part| part.text.is_empty()) {
            faults.push(format!("the error {code} lacks {part}"));
        }
    }
}

fn value(model: &Value, shape: &str, element: &Element, path: &str, faults: &mut Vec<String>) {
    let about = &model["shapes"][shape];
    let mut fault = |what: String| faults.push(format!("{path} ({shape}): {what}"));
    let text = element.text.as_str();
    match about["type"].as_str().unwrap() {
        "structure" => {
            let root = element.find("Arn").is_some_and(|arn| arn.text.ends_with(":root"));
            for required in about["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
                let missing = element.children.iter().all(|child| child.name != required);
                if missing && !(root && shape == "User" && NOT_OF_ROOT.contains(&required)) {
                    fault(format!("{required} is missing"));
                }
            }
            for child in &element.children {
                match about["members"][&child.name]["shape"].as_str() {
                    Some(shape) => value(model, shape, child, &format!("{path}.{}", child.name), faults),
                    None => faults.push(format!("{path} ({shape}): there is no member {}", child.name)),
                }
            }
        }
        "list" => {
            for child in &element.children {
                if child.name != "member" {
                    faults.push(format!("{path} ({shape}): {} instead of member", child.name));
                }
                value(model, about["member"]["shape"].as_str().unwrap(), child, &format!("{path}[]"), faults);
            }
        }
        "map" => {
            for child in &element.children {
                let names: Vec<&str> = child.children.iter().map(|part| part.name.as_str()).collect();
                if child.name != "entry" || names != ["key", "value"] {
                    faults.push(format!("{path} ({shape}): {} of {names:?}", child.name));
                    continue;
                }
                for (part, side) in child.children.iter().zip(["key", "value"]) {
                    value(model, about[side]["shape"].as_str().unwrap(), part, &format!("{path}.{side}"), faults);
                }
            }
        }
        "boolean" if text != "true" && text != "false" => fault(format!("{text:?} is no boolean")),
        "integer" | "long" if text.parse::<i64>().is_err() => fault(format!("{text:?} is no whole number")),
        "timestamp" if chrono::DateTime::parse_from_rfc3339(text).is_err() => fault(format!("{text:?} is no time")),
        "blob" if base64::engine::general_purpose::STANDARD.decode(text).is_err() => fault("it is no base64".into()),
        "string" => {
            let allowed = about["enum"].as_array();
            if allowed.is_some_and(|allowed| !allowed.iter().any(|word| word == text)) {
                fault(format!("{text:?} is none of the words allowed"));
            }
        }
        "boolean" | "integer" | "long" | "timestamp" | "blob" => {}
        other => fault(format!("the type {other} is not known to this reader")),
    }
    if !element.children.is_empty() && !element.text.trim().is_empty() {
        faults.push(format!("{path} ({shape}): text {:?} between elements", element.text));
    }
}

#[test]
fn an_answer_that_breaks_the_model_is_named() {
    let answer = |inside: &str| {
        let namespace = "https://iam.amazonaws.com/doc/2010-05-08/";
        Element::parse(&format!(
            "<ListVirtualMFADevicesResponse xmlns=\"{namespace}\"><ListVirtualMFADevicesResult>{inside}\
             </ListVirtualMFADevicesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
             </ListVirtualMFADevicesResponse>"
        ))
    };
    let said = |inside: &str| faults("iam", "ListVirtualMFADevices", 200, &answer(inside)).join("; ");
    let device = "<SerialNumber>arn:aws:iam::1:mfa/x</SerialNumber>";
    assert_eq!(said(&format!("<VirtualMFADevices><member>{device}</member></VirtualMFADevices>")), "");
    for (inside, told) in [
        ("<VirtualMFADevices><member></member></VirtualMFADevices>", "SerialNumber is missing"),
        (&format!("<VirtualMFADevices><item>{device}</item></VirtualMFADevices>"), "item instead of member"),
        ("<Devices></Devices>", "there is no member Devices"),
        ("<VirtualMFADevices></VirtualMFADevices><IsTruncated>no</IsTruncated>", "\"no\" is no boolean"),
    ] {
        assert!(said(inside).contains(told), "{inside}: {}", said(inside));
    }
}

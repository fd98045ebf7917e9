//! What settings promise.

use super::*;

#[test]
fn show() {
    println!("{}", example());
    match parse("evidenced.yaml", &example()) {
        Ok(settings) => println!("{settings:#?} {}", settings.digest()),
        Err(problems) => problems.iter().for_each(|problem| println!("{problem}")),
    }
    println!("{:#?}", manual::Manual::new().settings());
    println!("{}", schema().len());
}

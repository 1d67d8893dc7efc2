//! What must not compile: an exchange that no pipeline cleared cannot be delivered.

#[test]
fn an_unchecked_exchange_cannot_be_delivered() {
    trybuild::TestCases::new().compile_fail("tests/compile-fail/*.rs");
}

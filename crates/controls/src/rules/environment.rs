//! What the evaluator finds when a rule is evaluated.

use super::{arithmetic, metered, named};
use cel::Env;
use cel::common::types::DYN_TYPE;
use std::sync::{Arc, LazyLock};

/// The standard functions, the operators of `arithmetic`, what counts their steps, and what compares names.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let ours = arithmetic::functions().chain(metered::FUNCTIONS).chain(named::FUNCTIONS);
    for (name, arity, function) in ours {
        // Names of our own, each declared once: there is nothing to collide with.
        let operands = std::iter::repeat_with(|| DYN_TYPE).take(arity).collect();
        let _ = environment.add_overload(name, name, operands, function);
    }
    Arc::new(environment)
});

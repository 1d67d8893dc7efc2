use ironbridge_core::{Delivery, LaidDown, NoCaller};

async fn without_resuming(delivery: &dyn Delivery, laid: LaidDown) {
    laid.deliver(&mut NoCaller, delivery).await;
    let _ = delivery.deliver(laid, &mut NoCaller).await;
}

fn main() {}

use crate::demo::caller::{Call, Caller};
use crate::demo::manifest::{STOCK, STOCK_FILE};
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use ironbridge_engine::{ReloadError, Reloaded, StartError};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub async fn reloaded(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let token = world.token("order-service").await?;
    let levels = || Call::get("/stock/v1/levels").bearer(&token);
    let before = world.call(scene, levels()).await?;
    scene.check_refused(&before, 404, "operation-unknown");
    scene.say(format!(
        "A colleague writes {STOCK_FILE}, and the bridge reloads while two callers read orders."
    ));
    fs::write(world.places.bridge().join(STOCK_FILE), STOCK)?;
    let (reloaded, traffic) = under_traffic(world, &token).await?;
    scene.say(traffic.told());
    scene.check("no request failed", traffic.failed.is_empty() && traffic.answered >= 2 * ENOUGH);
    let counted = |reloaded: &Reloaded| (reloaded.generation, reloaded.integrations) == (2, 2);
    scene.check("the manifest is in force, with two integrations", reloaded.is_ok_and(|done| counted(&done)));
    let after = world.call(scene, levels()).await?;
    scene.check("200", after.answer.status == 200);
    Ok(())
}

pub async fn refused(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let token = world.token("order-service").await?;
    scene.say("The next change has a typing error in it.");
    let file = world.places.bridge().join(STOCK_FILE);
    fs::write(&file, STOCK.replace("permission: orders.read", "permision: orders.read"))?;
    let (reloaded, traffic) = under_traffic(world, &token).await?;
    fs::write(&file, STOCK)?;
    let told = match reloaded {
        Ok(_) => String::new(),
        Err(ReloadError::Start(StartError::Manifest(found))) => found.render_text(false),
        Err(other) => other.to_string(),
    };
    let told = told.replace(&format!("{}/", world.places.root.display()), "");
    scene.quote(&told);
    let placed = told.contains("stock.yaml") && told.contains("did you mean `permission`?");
    scene.check("refused, at the line, with what to write instead", placed);
    scene.say(traffic.told());
    scene.check("no request failed", traffic.failed.is_empty() && traffic.answered >= 2 * ENOUGH);
    let still = world.call(scene, Call::get("/stock/v1/levels").bearer(&token)).await?;
    scene.check("what was in force before still is", still.answer.status == 200);
    Ok(())
}

/// What callers met while the bridge changed.
struct Met {
    answered: u64,
    failed: Vec<String>,
}

impl Met {
    fn told(&self) -> String {
        let failed = self.failed.first().map_or("none failed".to_owned(), |first| {
            format!("{} failed, the first with {first}", self.failed.len())
        });
        format!("Meanwhile {} requests were answered, {failed}.", self.answered)
    }
}

/// Callers at once, each with a connection of its own.
const CALLERS: usize = 2;
/// Requests that must be answered before the reload, and as many after it.
const ENOUGH: u64 = 50;
/// Far longer than that takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reloads amid traffic: some before, some during, some after.
async fn under_traffic(world: &World, token: &str) -> Result<(Result<Reloaded, ReloadError>, Met), Failure> {
    let traffic = Traffic::start(&world.caller, token);
    traffic.answered(ENOUGH).await;
    let reloaded = world.bridge.reload().await;
    traffic.answered(ENOUGH).await;
    Ok((reloaded, traffic.stop()))
}

/// Callers on threads of their own, so that a reload does not hold them up.
struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    fn start(caller: &Caller, token: &str) -> Traffic {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = |_| {
            let (caller, token) = (caller.clone(), token.to_owned());
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || run(&caller, &token, &stop, &answered))
        };
        let threads = (0..CALLERS).map(thread).collect();
        Traffic { stop, answered, threads }
    }

    /// Resolves once so many more were answered.
    async fn answered(&self, more: u64) {
        let (goal, end) = (self.answered.load(Ordering::Relaxed) + more, Instant::now() + PATIENCE);
        while self.answered.load(Ordering::Relaxed) < goal && Instant::now() < end {
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn stop(self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| vec!["a panic".to_owned()]));
        Met { failed: ended.flatten().collect(), answered: self.answered.load(Ordering::Relaxed) }
    }
}

/// One caller; returns what failed.
fn run(caller: &Caller, token: &str, stop: &AtomicBool, answered: &AtomicU64) -> Vec<String> {
    let call = Call::get("/erp/v1/orders").bearer(token);
    let working = async {
        let mut line = caller.open().await?;
        let mut failed = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let answer = line.send(&call).await?;
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.status != 200 {
                failed.push(answer.line());
            }
        }
        Ok::<_, Failure>(failed)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(working));
    ended.unwrap_or_else(|failure| vec![failure.text(false)])
}

//! One of those who work with the server: what it does, and what it knows of it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use jackfield_testkit::Random;

use crate::answer::{Answer, Request};
use crate::dialer::Dialer;
use crate::model::{Either, Installed, Lost, Published, World};
use crate::packages::{manifest, package};
use crate::plugin::Orders;
use crate::rig::{Rig, id_of};

/// The server is gone.
pub(crate) struct Gone;

/// What became of a request.
enum Outcome {
    Answered(Answer),
    /// It may have been done.
    Lost,
    /// It cannot have been done.
    NotSent,
}

pub(crate) struct Client {
    number: usize,
    random: Random,
    made: usize,
    pub(crate) installed: Vec<Installed>,
    pub(crate) lost: Vec<Lost>,
    /// Its API token, as id and text, and whether it is there.
    pub(crate) token: Option<(String, String, Either<bool>)>,
    /// Where its method is mapped to.
    pub(crate) mapped: Either<Option<String>>,
}

/// How many installations each has at most.
const MOST: usize = 3;
pub(crate) const EVENT: &str = "EventThreadPublished";
const PERMISSIONS: [&str; 3] = ["read", "operate", "CREATE_POST"];

impl Client {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            random: Random::new(seed),
            made: 0,
            installed: Vec::new(),
            lost: Vec::new(),
            token: None,
            mapped: Either::is(None),
        }
    }

    /// Does this and that until the server is gone.
    pub(crate) async fn work(&mut self, rig: &Rig, world: &World) {
        while self.something(rig, world).await.is_ok() {}
    }

    async fn something(&mut self, rig: &Rig, world: &World) -> Result<(), Gone> {
        let there = self.installed.len();
        if there == 0 {
            return self.install(rig, world).await;
        }
        let at = self.random.below(there);
        match self.random.below(100) {
            0..30 => self.publish(rig, world).await,
            30..42 => self.call(rig, world, at).await,
            42..52 => self.configure(rig, world, at).await,
            52..60 => self.upgrade(rig, world, at).await,
            60..62 => self.break_it(rig, world, at).await,
            62..68 => self.roll_back(rig, world, at).await,
            68..76 if there < MOST => self.install(rig, world).await,
            68..78 => self.remove(rig, world, at).await,
            78..88 => self.switch(rig, world, at).await,
            88..92 => self.grant(rig, world, at).await,
            92..95 => self.rotate(rig, world, at).await,
            95..98 => self.change_token(rig, world).await,
            _ => self.map(rig, world).await,
        }
    }

    async fn install(&mut self, rig: &Rig, world: &World) -> Result<(), Gone> {
        self.made += 1;
        let external = self.random.below(3) == 0;
        let lost = Lost {
            name: format!("soak-{}-{}", self.number, self.made),
            version: self.next_version(),
            external,
            asked: world.now(),
        };
        let request = rig.request(Method::POST, "/plugins?grant=requested");
        let request = if external {
            let manifest = manifest(about(&lost.name, &lost.version));
            request.json(json!({"mode": "external", "manifest": manifest}))
        } else {
            request.zip(sound(&lost.name, &lost.version))
        };
        let what = if external {
            "install external"
        } else {
            "install"
        };
        match ask(world, what, request).await {
            Outcome::Answered(answer) => {
                let plugin = answer.expect(200);
                let token = plugin["connection"]["token"].as_str();
                let url = token.map(|token| rig.door(token));
                let mut new = adopted(&lost, id_of(&plugin), world.now());
                if external {
                    assert!(url.is_some(), "{plugin:#}");
                    new.dialer = Some(Dialer::new(url));
                    new.token_lost = false;
                }
                self.installed.push(new);
                let at = self.installed.len() - 1;
                if !external && self.random.below(4) > 0 {
                    return self.switch(rig, world, at).await;
                }
                Ok(())
            }
            Outcome::Lost => {
                self.lost.push(lost);
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    async fn remove(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let path = format!("/plugins/{}", self.installed[at].id);
        let request = rig.request(Method::DELETE, &path);
        match ask(world, "remove", request).await {
            Outcome::Answered(answer) => {
                answer.expect(204);
                self.installed.remove(at);
                Ok(())
            }
            Outcome::Lost => {
                self.installed[at].exists.perhaps(false);
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    /// Activates or deactivates.
    async fn switch(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let known = &mut self.installed[at];
        if known.dialer.is_some() {
            return Ok(());
        }
        let active = known.active.known() == Some(&false);
        let (what, wanted) = if active {
            ("activate", "active")
        } else {
            ("deactivate", "inactive")
        };
        let path = format!("/plugins/{}/active", known.id);
        let request = rig.request(Method::PATCH, &path);
        match ask(world, what, request.json(json!({"active": wanted}))).await {
            Outcome::Answered(answer) => {
                let plugin = answer.expect(200);
                assert_eq!(plugin["wanted"], wanted, "{plugin:#}");
                assert_eq!(plugin["status"]["active_state"], wanted, "{plugin:#}");
                known.active.set(active);
                Ok(())
            }
            Outcome::Lost => {
                known.active.perhaps(active);
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    async fn upgrade(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let version = self.next_version();
        let known = &mut self.installed[at];
        let (what, request) = if known.dialer.is_some() {
            let path = format!("/plugins/{}/manifest", known.id);
            let request = rig.request(Method::PATCH, &path);
            let manifest = manifest(about(&known.name, &version));
            ("manifest", request.json(manifest))
        } else {
            let path = format!("/plugins/{}/package", known.id);
            let request = rig.request(Method::PATCH, &path);
            ("upgrade", request.zip(sound(&known.name, &version)))
        };
        match ask(world, what, request).await {
            Outcome::Answered(answer) => {
                let plugin = answer.expect(200);
                assert_eq!(plugin["version"], version, "{plugin:#}");
                known.versions.push(version.clone());
                known.version.set(version);
                known.unpruned = 0;
                Ok(())
            }
            Outcome::Lost => {
                known.versions.push(version.clone());
                known.version.perhaps(version);
                known.unpruned += 1;
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    /// A version that does not run: the one before stays.
    async fn break_it(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let version = self.next_version();
        let known = &self.installed[at];
        if known.dialer.is_some() || known.active.known() != Some(&true) {
            return Ok(());
        }
        let orders = Orders {
            exit: Some(3),
            version: version.clone(),
            ..Orders::default()
        };
        let broken = package(&orders, about(&known.name, &version));
        let path = format!("/plugins/{}/package", known.id);
        let request = rig.request(Method::PATCH, &path).zip(broken);
        match ask(world, "upgrade to what is broken", request).await {
            Outcome::Answered(answer) => {
                answer.problem(502);
                Ok(())
            }
            Outcome::Lost | Outcome::NotSent => Err(Gone),
        }
    }

    async fn roll_back(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let known = &mut self.installed[at];
        if known.dialer.is_some() {
            return Ok(());
        }
        let path = format!("/plugins/{}/rollback", known.id);
        let request = rig.request(Method::POST, &path).json(json!({}));
        match ask(world, "rollback", request).await {
            Outcome::Answered(answer) if answer.status == 409 || answer.status == 404 => Ok(()),
            Outcome::Answered(answer) => {
                let plugin = answer.expect(200);
                let version = plugin["version"].as_str().unwrap().to_owned();
                assert!(
                    known.versions.contains(&version),
                    "{version} never counted: {:?}",
                    known.versions
                );
                known.version.set(version);
                Ok(())
            }
            Outcome::Lost => {
                for version in known.versions.clone() {
                    known.version.perhaps(version);
                }
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    async fn configure(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let greeting = format!("{} {}", self.number, self.random.number());
        let known = &mut self.installed[at];
        let path = format!("/plugins/{}/configuration", known.id);
        let shown = json!({"greeting": greeting});
        let mut set = shown.clone();
        set["key"] = json!(greeting);
        let request = rig.request(Method::PATCH, &path).json(set);
        match ask(world, "configure", request).await {
            Outcome::Answered(answer) => {
                assert_eq!(answer.expect(200), shown);
                known.configuration.set(shown);
                Ok(())
            }
            Outcome::Lost => {
                known.configuration.perhaps(shown);
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    async fn grant(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let count = self.random.below(PERMISSIONS.len() + 1);
        let granted: Vec<String> = PERMISSIONS[..count].iter().map(|p| (*p).into()).collect();
        let known = &mut self.installed[at];
        let path = format!("/plugins/{}/access", known.id);
        let request = rig.request(Method::PUT, &path);
        let request = request.json(json!({"granted": granted}));
        match ask(world, "grant", request).await {
            Outcome::Answered(answer) => {
                assert_eq!(answer.expect(200)["granted"], json!(granted));
                known.granted.set(granted);
                Ok(())
            }
            Outcome::Lost => {
                known.granted.perhaps(granted);
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    /// Another token for an external plugin.
    pub(crate) async fn rotate(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let known = &mut self.installed[at];
        let Some(dialer) = &known.dialer else {
            return Ok(());
        };
        let path = format!("/plugins/{}/token", known.id);
        let request = rig.request(Method::POST, &path);
        match ask(world, "rotate", request).await {
            Outcome::Answered(answer) => {
                let told = answer.expect(200);
                let token = told["token"].as_str().unwrap();
                dialer.use_url(Some(rig.door(token)));
                known.token_lost = false;
                Ok(())
            }
            Outcome::Lost => {
                known.token_lost = true;
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    /// What it is called with is what it is asked about.
    async fn call(&mut self, rig: &Rig, world: &World, at: usize) -> Result<(), Gone> {
        let known = &self.installed[at];
        let path = format!("/plugins/{}/call", known.id);
        let request = rig.request(Method::POST, &path);
        let request = request.json(json!({"method": "version"}));
        match ask(world, "call", request).await {
            Outcome::Answered(answer) if answer.status == 200 => {
                if known.dialer.is_none() {
                    let runs = answer.json()["result"]["version"].clone();
                    assert_eq!(runs, json!(known.version.known()), "of {}", known.id);
                    assert_eq!(known.active.known(), Some(&true), "of {}", known.id);
                }
                Ok(())
            }
            Outcome::Answered(answer) => {
                // It does not run, or just not yet; an external one may be dialing.
                let codes: &[u16] = if known.dialer.is_some() {
                    &[409, 502]
                } else {
                    &[409]
                };
                assert!(codes.contains(&answer.status), "{answer:?}");
                Ok(())
            }
            Outcome::Lost | Outcome::NotSent => Err(Gone),
        }
    }

    async fn publish(&mut self, rig: &Rig, world: &World) -> Result<(), Gone> {
        self.made += 1;
        let payload = format!("event-{}-{}", self.number, self.made);
        let key = (self.random.below(2) == 0).then(|| format!("key-{payload}"));
        let event = Published {
            payload,
            key,
            number: None,
            asked: world.now(),
            answered: None,
        };
        let (event, gone) = publish(rig, world, event).await;
        if let Some(event) = event {
            world.events.lock().unwrap().push(event);
        }
        gone
    }

    /// Makes an API token, or takes it away.
    async fn change_token(&mut self, rig: &Rig, world: &World) -> Result<(), Gone> {
        if let Some((id, _, there)) = &mut self.token {
            if there.known() == Some(&false) {
                return Ok(());
            }
            let request = rig.request(Method::DELETE, &format!("/tokens/{id}"));
            return match ask(world, "delete token", request).await {
                Outcome::Answered(answer) => {
                    answer.expect(204);
                    there.set(false);
                    Ok(())
                }
                Outcome::Lost => {
                    there.perhaps(false);
                    Err(Gone)
                }
                Outcome::NotSent => Err(Gone),
            };
        }
        let body = json!({"name": format!("client {}", self.number), "permissions": ["read"]});
        let request = rig.request(Method::POST, "/tokens").json(body);
        match ask(world, "make token", request).await {
            Outcome::Answered(answer) => {
                let made = answer.json();
                let text = |name: &str| made[name].as_str().unwrap().to_owned();
                self.token = Some((text("id"), text("token"), Either::is(true)));
                Ok(())
            }
            Outcome::Lost | Outcome::NotSent => Err(Gone),
        }
    }

    async fn map(&mut self, rig: &Rig, world: &World) -> Result<(), Gone> {
        let url = format!("http://127.0.0.1:9/{}", self.random.number());
        let path = format!("/methods/{}", self.method());
        let request = rig.request(Method::PUT, &path).json(json!({"url": url}));
        match ask(world, "map", request).await {
            Outcome::Answered(answer) => {
                answer.expect(200);
                self.mapped.set(Some(url));
                Ok(())
            }
            Outcome::Lost => {
                self.mapped.perhaps(Some(url));
                Err(Gone)
            }
            Outcome::NotSent => Err(Gone),
        }
    }

    /// The method that it maps.
    pub(crate) fn method(&self) -> String {
        format!("method_{}", self.number)
    }

    fn next_version(&mut self) -> String {
        self.made += 1;
        format!("1.{}.{}", self.number, self.made)
    }
}

/// Publishes an event; what is known of it then.
pub(crate) async fn publish(
    rig: &Rig,
    world: &World,
    mut event: Published,
) -> (Option<Published>, Result<(), Gone>) {
    let body = json!({"event": EVENT, "payload": {"id": event.payload}});
    let mut request = rig.request(Method::POST, "/events").json(body);
    if let Some(key) = &event.key {
        request = request.header("Idempotency-Key", key);
    }
    match ask(world, "publish", request).await {
        Outcome::Answered(answer) => {
            let told = answer.expect(202);
            event.number = Some(told["id"].as_str().unwrap().parse().unwrap());
            event.answered = Some(world.now());
            (Some(event), Ok(()))
        }
        Outcome::Lost => (Some(event), Err(Gone)),
        Outcome::NotSent => (None, Err(Gone)),
    }
}

/// Something that was installed.
pub(crate) fn adopted(lost: &Lost, id: String, answered: u64) -> Installed {
    let granted = PERMISSIONS.iter().map(|p| (*p).to_owned()).collect();
    Installed {
        id,
        name: lost.name.clone(),
        exists: Either::is(true),
        active: Either::is(lost.external),
        version: Either::is(lost.version.clone()),
        versions: vec![lost.version.clone()],
        configuration: Either::is(json!({})),
        granted: Either::is(granted),
        dialer: lost.external.then(|| Dialer::new(None)),
        token_lost: lost.external,
        unpruned: 0,
        asked: lost.asked,
        answered,
    }
}

async fn ask(world: &World, what: &'static str, request: Request) -> Outcome {
    let began = Instant::now();
    match request.try_send().await {
        Ok(answer) => {
            world.answered(what, began.elapsed());
            Outcome::Answered(answer)
        }
        Err(error) if error.is_connect() => {
            world.figures.lock().unwrap().not_sent += 1;
            Outcome::NotSent
        }
        Err(error) => {
            assert!(!error.is_timeout(), "{what}: {error:?}");
            world.figures.lock().unwrap().lost += 1;
            Outcome::Lost
        }
    }
}

fn sound(name: &str, version: &str) -> Vec<u8> {
    let orders = Orders {
        version: version.to_owned(),
        take_all: true,
        ..Orders::default()
    };
    package(&orders, about(name, version))
}

fn about(name: &str, version: &str) -> Value {
    let field = |id: &str, secret: bool| {
        json!({"type": "string", "id": id, "label": id, "description": "",
               "secret": secret})
    };
    json!({
        "id": name, "name": name, "version": version,
        "access": {"handle": name, "name": name, "permissions": PERMISSIONS},
        "configuration_schema": {"fields": [field("greeting", false), field("key", true)]},
    })
}

use std::time::{Duration, SystemTime};

use jackfield::Token;

use super::super::{ApiToken, EntryQuery, Permission, Target};
use super::on_both;
use crate::clock;

fn now() -> SystemTime {
    clock::time(clock::millis(SystemTime::now()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_by_its_hash_and_its_use_is_noted_once_a_minute() {
    on_both(async |store| {
        let secret = Token::external();
        let token = ApiToken {
            id: "one".into(),
            name: "ci".into(),
            prefix: "jfa_abcd".into(),
            permissions: vec![Permission::Read, Permission::Publish],
            created_at: now(),
            created_by: "administrator".into(),
            expires_at: Some(now() + Duration::from_secs(5)),
            used_at: None,
        };
        store.add_token(&token, secret.hash()).await.unwrap();
        assert!(
            store
                .token(Token::external().hash())
                .await
                .unwrap()
                .is_none()
        );
        let listed = &store.tokens().await.unwrap()[0];
        assert_eq!(format!("{listed:?}"), format!("{token:?}"));

        let found = store.token(secret.hash()).await.unwrap().unwrap();
        assert_eq!(
            (found.permissions, found.expires_at),
            (token.permissions, token.expires_at)
        );
        let noted = async || store.tokens().await.unwrap()[0].used_at;
        let first = noted().await.unwrap();
        let set = async |used: SystemTime| {
            let set = sqlx::query("UPDATE tokens SET used_at = $1").bind(clock::millis(used));
            set.execute(&store.pool).await.unwrap();
        };
        let recent = first - Duration::from_secs(50);
        set(recent).await;
        store.token(secret.hash()).await.unwrap().unwrap();
        assert_eq!(noted().await, Some(recent));
        set(first - Duration::from_secs(70)).await;
        store.token(secret.hash()).await.unwrap().unwrap();
        assert!(noted().await.unwrap() >= first);

        // A word of a newer server permits nothing, and hides nothing.
        let newer = "UPDATE tokens SET permissions = '[\"fly\",\"read\"]'";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        let found = store.token(secret.hash()).await.unwrap().unwrap();
        assert_eq!(found.permissions, [Permission::Read]);
        assert!(store.remove_token("one").await.unwrap());
        assert!(!store.remove_token("one").await.unwrap());
        assert!(store.token(secret.hash()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_set_once_and_then_changed() {
    on_both(async |store| {
        let mut target = Target {
            name: "search".into(),
            url: "http://app/search".into(),
            secret: "sealed".into(),
            timeout: Duration::from_millis(1500),
            updated_at: now(),
            updated_by: "me".into(),
        };
        assert!(store.set_target(&target).await.unwrap());
        target.url = "http://app/other".into();
        assert!(!store.set_target(&target).await.unwrap());
        let found = store.target("search").await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{target:?}"));
        target.name = "find".into();
        assert!(store.set_target(&target).await.unwrap());
        let all = store.targets().await.unwrap();
        assert_eq!(
            all.iter().map(|target| &*target.name).collect::<Vec<_>>(),
            ["find", "search"]
        );
        assert!(store.remove_target("find").await.unwrap());
        assert!(!store.remove_target("find").await.unwrap());
        assert!(store.target("find").await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_read_in_pages_newest_first() {
    on_both(async |store| {
        for number in 0..7 {
            let target = if number % 2 == 0 { "even" } else { "odd" };
            let detail = number.to_string();
            let outcome = if number == 6 {
                Err(&*detail)
            } else {
                Ok(&*detail)
            };
            store.audit("me", "install", target, outcome).await.unwrap();
        }
        let read = async |target: Option<&str>, before: Option<String>, limit| {
            let target = target.map(ToOwned::to_owned);
            let query = EntryQuery {
                target,
                before,
                limit,
            };
            store.entries(&query).await.unwrap()
        };
        let details = |entries: &[super::super::Entry]| -> Vec<String> {
            entries.iter().map(|entry| entry.detail.clone()).collect()
        };
        let page = read(None, None, 3).await;
        assert_eq!(details(&page), ["6", "5", "4"]);
        assert!(!page[0].done && page[1].done);
        let page = read(None, Some(page[2].id.clone()), 3).await;
        assert_eq!(details(&page), ["3", "2", "1"]);
        let page = read(Some("even"), Some(page[0].id.clone()), 3).await;
        assert_eq!(details(&page), ["2", "0"]);
        assert_eq!((&*page[0].actor, &*page[0].action), ("me", "install"));
        assert!(read(Some("none"), None, 3).await.is_empty());
        assert_eq!(store.forget_entries(7).await.unwrap(), 0);
        assert_eq!(store.forget_entries(2).await.unwrap(), 5);
        assert_eq!(details(&read(None, None, 9).await), ["6", "5"]);
    })
    .await;
}

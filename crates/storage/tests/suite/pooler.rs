//! A pooler that is not named in the settings.

use tidegate_storage::{Settings, Store};
use tidegate_testkit::{pgbouncer, postgres};

use crate::samples::{APP, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_found_at_the_start() {
    let database = postgres::database("found");
    let direct = Store::open(&Settings::new(database.url())).await.unwrap();
    assert!(!direct.is_pooled());
    let pooled = Store::open(&Settings::new(pgbouncer::through(&database)))
        .await
        .unwrap();
    assert!(pooled.is_pooled());
    upload(&pooled, APP, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_few_sessions() {
    let database = postgres::database("shared");
    let mut settings = Settings::new(pgbouncer::through(&database));
    settings.pooled = true;
    let store = Store::open(&settings).await.unwrap();
    let build = upload(&store, APP, 1).await;
    let asked: Vec<_> = (0..200)
        .map(|n| {
            let (store, id) = (store.clone(), build.id);
            tokio::spawn(async move {
                if n % 4 == 0 {
                    store.ready().await.map(|()| id)
                } else {
                    store.build(id).await.map(|build| build.id)
                }
            })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(build.id));
    }
}

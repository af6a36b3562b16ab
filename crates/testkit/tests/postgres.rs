//! The PostgreSQL that the tests of the server ask for.

use jackfield_testkit::postgres;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

#[tokio::test]
async fn each_database_is_its_own() {
    let (one, other) = tokio::join!(postgres::database(), postgres::database());
    assert_ne!(one, other);
    let mut one = PgConnection::connect(&one).await.unwrap();
    one.execute("CREATE TABLE here (n BIGINT)").await.unwrap();
    let mut other = PgConnection::connect(&other).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'here'";
    let found: i64 = other.fetch_one(tables).await.unwrap().get(0);
    assert_eq!(found, 0);
    let found: i64 = one.fetch_one(tables).await.unwrap().get(0);
    assert_eq!(found, 1);
}

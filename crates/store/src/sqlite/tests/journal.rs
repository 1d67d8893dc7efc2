//! SQLite's other journal, which a store of this program never has: whoever puts one there has SQLite act for him.

use super::*;

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// A journal that is to be rolled back into a store of that size (fileformat2 §3).
fn hot(pages: u32) -> Vec<u8> {
    let mut journal = MAGIC.to_vec();
    for number in [0, 7, pages, 512, 4096] {
        journal.extend_from_slice(&u32::to_be_bytes(number));
    }
    journal.resize(1024, 0);
    journal
}

#[tokio::test]
async fn a_journal_that_another_hand_put_there_does_nothing() {
    let place = Place::new();
    let store = place.open();
    store.put("secret", "a", vec![1], NOW).await.unwrap();
    drop(store);
    let path = place.path();
    let journal = path.with_file_name("store.sqlite-journal");
    // SQLite by itself takes it for its own, and cuts the file.
    let copy = path.with_file_name("copy.sqlite");
    fs::copy(&path, &copy).unwrap();
    fs::write(path.with_file_name("copy.sqlite-journal"), hot(1)).unwrap();
    let read = |path: &Path| {
        let count = "SELECT count(*) FROM sealed_item";
        Connection::open(path)?.query_row(count, [], |row| row.get::<_, i64>(0))
    };
    assert!(read(&copy).is_err());
    assert_eq!(fs::metadata(&copy).unwrap().len(), 4096);

    let plants: [&dyn Fn(); 5] = [
        &|| fs::write(&journal, hot(1)).unwrap(),
        &|| fs::write(&journal, hot(99)).unwrap(),
        &|| fs::write(&journal, "").unwrap(),
        &|| fs::create_dir(&journal).unwrap(),
        &|| std::os::unix::fs::symlink("elsewhere", &journal).unwrap(),
    ];
    let open = place.open();
    for plant in plants {
        plant();
        let refused = |opened: Result<SqliteStore, StoreError>| {
            let error = opened.err().unwrap().to_string();
            assert!(error.contains("store.sqlite-journal") && error.contains("remove it"), "{error}");
        };
        refused(place.try_open());
        refused(SqliteStore::open_to_read(&path, Arc::new(Xor), Arc::new(TestClock(Mutex::new(NOW)))));
        assert!(open.stands().await.is_err() && open.owners_whole().await.is_err());
        assert!(journal.symlink_metadata().is_ok(), "evidence");
        match journal.is_dir() {
            true => fs::remove_dir(&journal).unwrap(),
            false => fs::remove_file(&journal).unwrap(),
        }
        assert_eq!(open.stands().await, Ok(()));
        assert_eq!(place.open().list_items("secret").await.len(), 1);
    }
}

/// What an operator's copy is, which SQLite made without a write-ahead log.
#[tokio::test]
async fn a_store_that_comes_without_a_log_gets_one() {
    let place = Place::new();
    let store = place.open();
    store.put("secret", "a", vec![1], NOW).await.unwrap();
    let copy = place.path().with_file_name("copy");
    Connection::open(place.path()).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    drop(store);
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&copy, place.path()).unwrap();
    let stores = [place.open(), place.open()];
    for store in &stores {
        assert_eq!(store.list_items("secret").await.len(), 1);
        let mode =
            store.ask(Effect::Reads, |db| db.pragma_query_value(None, "journal_mode", |row| row.get(0)));
        assert_eq!(mode.await, Ok("wal".to_owned()));
    }
}

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::Rng;
use waterbear_exchange::{Chunk, HeldBytes, OutputBuffer, ReadError, Written};

use crate::support::{decoded, numbers, numbers_schema, seeded, values};

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);
/// Enough numbers that a batch of them is a page of its own.
const FULL: usize = 8192;

fn buffer(partitions: u32, readers: u32, limit: usize) -> Arc<OutputBuffer> {
    Arc::new(OutputBuffer::new(partitions, readers, numbers_schema(), limit, HeldBytes::default()))
}

/// Reads to the end, asking again and again for what it has, as a reader on a bad network.
async fn read_all(buffer: &OutputBuffer, partition: u32, reader: u32, replay: bool) -> Vec<i64> {
    let mut random = if replay { 0.4 } else { 0.0 };
    let mut token = 0;
    let mut rows = Vec::new();
    loop {
        let max_bytes = rand::rng().random_range(1..200_000);
        let max_wait = Duration::from_millis(rand::rng().random_range(0..20));
        let pages = buffer.read(partition, reader, token, max_bytes, max_wait).await.unwrap();
        if rand::rng().random_bool(random) && !pages.bytes.is_empty() {
            // As if the answer had been lost: the same pages must come again.
            let again = buffer.read(partition, reader, token, 1, NOW).await.unwrap();
            assert_eq!(again.bytes, pages.bytes);
            assert_eq!(again.next_token, pages.next_token);
            random = 0.4;
        }
        rows.extend(values(&decoded(&numbers_schema(), &pages.bytes)));
        token = pages.next_token;
        if pages.complete {
            buffer.close_reader(partition, reader).unwrap();
            return rows;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_reader_gets_each_row_once_and_in_order() {
    let mut random = seeded("every_reader_gets_each_row");
    for round in 0..30 {
        let (partitions, readers) = (random.random_range(1..4), random.random_range(1..4));
        let buffer = buffer(partitions, readers, random.random_range(1..400_000));
        let mut tasks = Vec::new();
        for partition in 0..partitions {
            let sizes: Vec<usize> =
                (0..random.random_range(0..60)).map(|_| random.random_range(0..20_000)).collect();
            let total: usize = sizes.iter().sum();
            for reader in 0..readers {
                let buffer = Arc::clone(&buffer);
                tasks.push(tokio::spawn(async move {
                    let rows = read_all(&buffer, partition, reader, round % 2 == 0).await;
                    assert_eq!(rows, (0..total as i64).collect::<Vec<_>>());
                }));
            }
            let writer = buffer.writer(partition).unwrap();
            let pauses = random.random_bool(0.5);
            tasks.push(tokio::spawn(async move {
                let mut start = 0;
                let batches = futures::stream::iter(sizes).then(move |size| {
                    let batch = numbers(start, size);
                    start += size as i64;
                    async move {
                        if pauses {
                            tokio::time::sleep(Duration::from_micros(50)).await;
                        }
                        Ok::<_, std::io::Error>(batch)
                    }
                });
                assert_eq!(writer.write_all(batches).await.unwrap(), Written::Everything);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        tokio::time::timeout(LONG, buffer.drained()).await.unwrap();
        assert_eq!(buffer.buffered_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_partition_stops_its_writer_and_no_other() {
    let buffer = buffer(2, 1, 200_000);
    let mut stopped = buffer.writer(0).unwrap();
    let filling = tokio::spawn(async move {
        for n in 0..1000 {
            stopped.push(numbers(n, FULL)).await.unwrap();
        }
    });
    let mut other = buffer.writer(1).unwrap();
    let reading = tokio::spawn({
        let buffer = Arc::clone(&buffer);
        async move { read_all(&buffer, 1, 0, false).await }
    });
    for n in 0..100 {
        other.push(numbers(n * FULL as i64, FULL)).await.unwrap();
    }
    other.finish().await.unwrap();
    assert_eq!(reading.await.unwrap().len(), 100 * FULL);

    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!filling.is_finished());
    assert!(buffer.buffered_bytes() <= 200_000, "{}", buffer.buffered_bytes());
    // It goes on as soon as somebody reads.
    let first = buffer.read(0, 0, 0, 1, NOW).await.unwrap();
    let before = buffer.bytes();
    buffer.read(0, 0, first.next_token, 1, NOW).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(buffer.bytes() > before);
    buffer.abort();
    filling.await.unwrap();
}

#[tokio::test]
async fn broadcast_pages_stay_until_the_last_reader_has_them() {
    let buffer = buffer(1, 3, 1 << 30);
    let mut writer = buffer.writer(0).unwrap();
    writer.push(numbers(0, FULL)).await.unwrap();
    writer.finish().await.unwrap();
    let first = buffer.read(0, 0, 0, 1, NOW).await.unwrap();
    let second = buffer.read(0, 1, 0, 1, NOW).await.unwrap();
    assert!(first.complete);
    assert_eq!(first.bytes[0].as_ptr(), second.bytes[0].as_ptr(), "readers share the bytes");
    assert_eq!(buffer.bytes(), first.bytes[0].len() as u64, "a shared page counts once");

    // The first asks for what follows, which acknowledges everything; the others close.
    assert!(buffer.read(0, 0, 1, 1, NOW).await.unwrap().complete);
    buffer.close_reader(0, 1).unwrap();
    assert!(buffer.buffered_bytes() > 0);
    assert!(tokio::time::timeout(Duration::from_millis(20), buffer.drained()).await.is_err());
    buffer.close_reader(0, 2).unwrap();
    assert_eq!(buffer.buffered_bytes(), 0);
    buffer.drained().await;
}

#[tokio::test]
async fn tokens_are_exact() {
    let buffer = buffer(1, 1, 1 << 30);
    let mut writer = buffer.writer(0).unwrap();
    for n in 0..4 {
        writer.push(numbers(n, FULL)).await.unwrap();
    }
    let pages = buffer.read(0, 0, 0, 1, NOW).await.unwrap();
    assert_eq!((pages.bytes.len(), pages.next_token, pages.complete), (1, 1, false));
    // More would fit now, but the same token is answered as before.
    let again = buffer.read(0, 0, 0, usize::MAX, NOW).await.unwrap();
    assert_eq!(again, pages);

    let error = buffer.read(0, 0, 2, 1, NOW).await.unwrap_err();
    assert_eq!(error, ReadError::UnknownToken { token: 2, next: 1 });
    let rest = buffer.read(0, 0, 1, usize::MAX, NOW).await.unwrap();
    assert_eq!((rest.bytes.len(), rest.next_token), (3, 4));
    let error = buffer.read(0, 0, 0, 1, NOW).await.unwrap_err();
    assert_eq!(error, ReadError::Acknowledged { token: 0, acknowledged: 1 });

    assert_eq!(buffer.read(0, 7, 0, 1, NOW).await.unwrap_err(), ReadError::UnknownReader);
    assert_eq!(buffer.read(9, 0, 0, 1, NOW).await.unwrap_err(), ReadError::UnknownReader);

    let none = buffer.read(0, 0, 4, 1, NOW).await.unwrap();
    assert_eq!((none.bytes.len(), none.next_token, none.complete), (0, 4, false));
    writer.finish().await.unwrap();
    let end = buffer.read(0, 0, 4, 1, NOW).await.unwrap();
    assert_eq!((end.bytes.len(), end.next_token, end.complete), (0, 4, true));
    buffer.close_reader(0, 0).unwrap();
    buffer.drained().await;
}

#[tokio::test]
async fn a_reader_that_has_all_pages_still_hears_that_they_are_all() {
    let buffer = buffer(1, 1, 1 << 30);
    let mut writer = buffer.writer(0).unwrap();
    writer.push(numbers(0, FULL)).await.unwrap();
    let pages = buffer.read(0, 0, 0, 1, NOW).await.unwrap();
    assert!(!pages.complete);
    let waiting = {
        let buffer = Arc::clone(&buffer);
        tokio::spawn(async move { buffer.read(0, 0, 1, 1, LONG).await.unwrap() })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    writer.finish().await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(20), buffer.drained()).await;
    assert!(early.is_err(), "it is not drained before the reader has heard");
    assert!(waiting.await.unwrap().complete);
    buffer.close_reader(0, 0).unwrap();
    buffer.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_gets_rows_as_soon_as_the_stream_pauses() {
    let buffer = buffer(1, 1, 1 << 30);
    let writer = buffer.writer(0).unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let stream = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|batch| (Ok::<_, std::io::Error>(batch), receiver))
    });
    let writing = tokio::spawn(writer.write_all(stream));
    let reading = {
        let buffer = Arc::clone(&buffer);
        tokio::spawn(async move { buffer.read(0, 0, 0, 1, LONG).await.unwrap() })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    sender.send(numbers(0, 3)).unwrap();
    let pages = reading.await.unwrap();
    assert_eq!(values(&decoded(&numbers_schema(), &pages.bytes)), [0, 1, 2]);
    assert_eq!(start.elapsed(), NOW);

    // While nobody waits, small batches are joined.
    for n in 0..10 {
        sender.send(numbers(n, 1)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let pages = buffer.read(0, 0, 1, usize::MAX, LONG).await.unwrap();
    assert_eq!(pages.bytes.len(), 1);
    assert_eq!(values(&decoded(&numbers_schema(), &pages.bytes)), (0..10).collect::<Vec<_>>());
    drop(sender);
    assert_eq!(writing.await.unwrap().unwrap(), Written::Everything);
}

#[tokio::test]
async fn a_partition_that_nobody_wants_drops_its_stream() {
    let buffer = buffer(2, 2, 1000);
    // Never ready, and dropped all the same.
    let writer = buffer.writer(0).unwrap();
    let idle =
        tokio::spawn(writer.write_all(futures::stream::pending::<Result<_, std::io::Error>>()));
    // Stuck with a full partition.
    let writer = buffer.writer(1).unwrap();
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(numbers(0, FULL)));
    let stuck = tokio::spawn(writer.write_all(endless));
    tokio::time::sleep(Duration::from_millis(20)).await;
    for partition in 0..2 {
        buffer.close_reader(partition, 0).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!idle.is_finished() && !stuck.is_finished(), "another reader is still there");
    for partition in 0..2 {
        buffer.close_reader(partition, 1).unwrap();
        buffer.close_reader(partition, 1).unwrap();
    }
    assert_eq!(idle.await.unwrap().unwrap(), Written::Unwanted);
    assert_eq!(stuck.await.unwrap().unwrap(), Written::Unwanted);
    buffer.drained().await;
    assert_eq!(buffer.buffered_bytes(), 0);
    assert_eq!(buffer.read(0, 0, 0, 1, NOW).await.unwrap_err(), ReadError::Closed);
}

#[tokio::test(start_paused = true)]
async fn abort_wakes_everybody() {
    let buffer = buffer(2, 1, 1000);
    let reading = {
        let buffer = Arc::clone(&buffer);
        tokio::spawn(async move { buffer.read(0, 0, 0, 1, LONG).await })
    };
    let writer = buffer.writer(1).unwrap();
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(numbers(0, FULL)));
    let writing = tokio::spawn(writer.write_all(endless));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    buffer.abort();
    assert_eq!(reading.await.unwrap().unwrap_err(), ReadError::Aborted);
    assert_eq!(writing.await.unwrap().unwrap(), Written::Unwanted);
    assert_eq!(start.elapsed(), NOW);
    assert_eq!(buffer.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_stream_that_fails_leaves_its_partition_incomplete() {
    let buffer = buffer(1, 1, 1 << 30);
    let writer = buffer.writer(0).unwrap();
    let failing = futures::stream::iter([Ok(numbers(0, FULL)), Err(std::io::Error::other("no"))]);
    assert!(writer.write_all(failing).await.is_err());
    let pages = buffer.read(0, 0, 0, usize::MAX, NOW).await.unwrap();
    assert_eq!((pages.bytes.len(), pages.complete), (1, false));
}

#[tokio::test]
async fn readers_in_the_process_get_batches_as_they_are() {
    let buffer = buffer(1, 2, usize::MAX);
    let mut writer = buffer.writer(0).unwrap();
    let wait = Duration::from_millis(10);
    writer.push(numbers(0, 5)).await.unwrap();
    // One of two readers is elsewhere: what is written for both has to be encoded.
    let none = buffer.read_in_process(0, 0, 0, 1 << 20, wait).await.unwrap();
    assert!(none.chunks.is_empty());
    writer.flush().await.unwrap();
    let chunks = buffer.read_in_process(0, 0, 0, 1 << 20, wait).await.unwrap().chunks;
    assert!(matches!(chunks.as_slice(), [Chunk::Page(_)]));
    // Now both are here: what comes is not encoded, and comes after what was.
    buffer.read_in_process(0, 1, 0, 1 << 20, wait).await.unwrap();
    writer.push(numbers(5, 5)).await.unwrap();
    let chunks = buffer.read_in_process(0, 0, 1, 1 << 20, wait).await.unwrap();
    assert!(matches!(chunks.chunks.as_slice(), [Chunk::Batch { .. }]));
    let remote = buffer.read(0, 1, 1, 1 << 20, wait).await;
    assert_eq!(remote.unwrap_err(), ReadError::InProcess);
    writer.finish().await.unwrap();
    let end = buffer.read_in_process(0, 0, 2, 1 << 20, wait).await.unwrap();
    assert!(end.complete && end.chunks.is_empty());
    assert_eq!(buffer.rows(), 10);
}

//! Plays the workload of bench_core.c on orderbook-rs: the order book alone, one thread, its trade listener hashing the
//! trades as the other drivers do. Its book takes commands from many threads at once and pays for that here too.
//!
//! Usage: orderbook-rs-driver PEER_FILE RUNS [COMMANDS]. The best of the runs counts, in processor time of this thread.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use orderbook_rs::prelude::{Id, OrderBook, Side, TimeInForce, TradeListener};
use pricelevel::{OrderUpdate, Price, Quantity};

const WORDS: usize = 8;
const HEAD: usize = 4;

thread_local! {
    static HASH: Cell<u64> = const { Cell::new(0) };
    static TRADES: Cell<u64> = const { Cell::new(0) };
}

fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x100000001b3);
    hash ^ hash >> 29
}

fn number(id: Id) -> u64 {
    match id {
        Id::Sequential(number) => number,
        _ => panic!("an id that this driver did not give"),
    }
}

fn listener() -> TradeListener {
    Arc::new(|result| {
        for trade in result.match_result.trades().as_vec() {
            let mut hash = mix(HASH.get(), number(trade.maker_order_id()));
            hash = mix(hash, number(trade.taker_order_id()));
            hash = mix(hash, trade.price().as_u128() as u64);
            HASH.set(mix(hash, trade.quantity().as_u64()));
            TRADES.set(TRADES.get() + 1);
        }
    })
}

fn books(symbols: usize) -> Vec<OrderBook<()>> {
    (0..symbols)
        .map(|symbol| OrderBook::with_trade_listener(&format!("S{symbol}"), listener()))
        .collect()
}

fn side(word: u64) -> Side {
    if word == 1 {
        Side::Buy
    } else {
        Side::Sell
    }
}

/// One operation; 1 when it was refused. An immediate order that finds nothing is refused by this book: no difference.
fn apply(books: &[OrderBook<()>], words: &[u64]) -> u64 {
    let [op, symbol, order, _account, price, lots, side_word, last] = words else {
        panic!("an operation has eight words")
    };
    let (book, id) = (&books[*symbol as usize], Id::Sequential(*order));
    let refused = match op {
        0 => {
            let immediate = *last == 1;
            let tif = if immediate { TimeInForce::Ioc } else { TimeInForce::Gtc };
            let done = book.add_limit_order(id, *price as u128, *lots, side(*side_word), tif, None);
            done.is_err() && !immediate
        }
        1 => !matches!(book.cancel_order(id), Ok(Some(_))),
        2 => {
            let new_price = Price::new(*price as u128);
            book.update_order(OrderUpdate::UpdatePrice { order_id: id, new_price }).is_err()
        }
        _ => {
            let new_quantity = Quantity::new(*last);
            book.update_order(OrderUpdate::UpdateQuantity { order_id: id, new_quantity }).is_err()
        }
    };
    refused as u64
}

fn play(books: &[OrderBook<()>], words: &[u64]) -> u64 {
    words.chunks_exact(WORDS).map(|operation| apply(books, operation)).sum()
}

fn thread_ns() -> u64 {
    let mut time = libc_timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

#[repr(C)]
#[allow(non_camel_case_types)]
struct libc_timespec {
    seconds: i64,
    nanoseconds: i64,
}

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

extern "C" {
    fn clock_gettime(clock: i32, time: *mut libc_timespec) -> i32;
}

fn read_words(path: &str) -> Vec<u64> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words = read_words(&arguments[1]);
    let runs: u64 = arguments[2].parse().expect("RUNS is a number");
    let (symbols, setup) = (words[0] as usize, words[2] as usize);
    let most: usize = arguments.get(3).map_or(usize::MAX, |count| count.parse().expect("COMMANDS is a number"));
    let timed_count = (words[3] as usize).min(most);
    let prepare = &words[HEAD..HEAD + setup * WORDS];
    let timed = &words[HEAD + setup * WORDS..HEAD + (setup + timed_count) * WORDS];
    let (mut best, mut refused) = (u64::MAX, 0);
    for _ in 0..runs {
        let books = books(symbols);
        play(&books, prepare);
        HASH.set(0);
        TRADES.set(0);
        let start = thread_ns();
        refused = play(&books, timed);
        best = best.min(thread_ns() - start);
    }
    let (hash, trades) = (HASH.get(), TRADES.get());
    let books = books(symbols);
    play(&books, prepare);
    let mut each: Vec<u64> = timed
        .chunks_exact(WORDS)
        .map(|operation| {
            let start = Instant::now();
            apply(&books, operation);
            start.elapsed().as_nanos() as u64
        })
        .collect();
    each.sort_unstable();
    println!(
        "{{\"ns_per_op\": {:.2}, \"p50_ns\": {}, \"p99_ns\": {}, \"operations\": {timed_count}, \"trades\": {trades}, \
         \"refused\": {refused}, \"trade_hash\": \"{hash:016x}\"}}",
        best as f64 / timed_count as f64,
        each[timed_count / 2],
        each[timed_count * 99 / 100],
    );
}

import exchange.core2.collections.objpool.ObjectsPool;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.cmd.CommandResultCode;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.config.LoggingConfiguration;
import exchange.core2.core.orderbook.IOrderBook;
import exchange.core2.core.orderbook.OrderBookDirectImpl;
import exchange.core2.core.orderbook.OrderBookEventsHelper;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Plays the workload of bench_core.c on exchange-core's OrderBookDirectImpl: the order book alone, without its risk
 * engine, ring buffer or journal. Its trade events are pooled, as in its own server, and hashed as ours are.
 *
 * <p>Usage: Driver PEER_FILE RUNS. The first runs warm the compiler up; the best of the runs counts, in processor time of
 * this thread, so without what the garbage collector and the compiler take in theirs.
 */
public final class Driver {
    private static final int WORDS = 8;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final OrderCommand COMMAND = new OrderCommand();
    private static MatcherTradeEvent free;
    private static long hash;
    private static long trades;
    private static long refused;

    private static MatcherTradeEvent event() {
        MatcherTradeEvent event = free;
        if (event == null) {
            return new MatcherTradeEvent();
        }
        free = event.nextEvent;
        event.nextEvent = null;
        return event;
    }

    private static IOrderBook[] books(int symbols, int orders) {
        Map<Integer, Integer> sizes = new HashMap<>();
        sizes.put(ObjectsPool.DIRECT_ORDER, 512 * 1024);
        sizes.put(ObjectsPool.DIRECT_BUCKET, 64 * 1024);
        sizes.put(ObjectsPool.ART_NODE_4, 32 * 1024);
        sizes.put(ObjectsPool.ART_NODE_16, 16 * 1024);
        sizes.put(ObjectsPool.ART_NODE_48, 8 * 1024);
        sizes.put(ObjectsPool.ART_NODE_256, 4 * 1024);
        ObjectsPool pool = new ObjectsPool(sizes);
        OrderBookEventsHelper helper = new OrderBookEventsHelper(Driver::event);
        IOrderBook[] books = new IOrderBook[symbols];
        for (int i = 0; i < symbols; i++) {
            CoreSymbolSpecification specification = CoreSymbolSpecification.builder()
                    .symbolId(i).type(SymbolType.FUTURES_CONTRACT).baseCurrency(0).quoteCurrency(1)
                    .baseScaleK(1).quoteScaleK(1).takerFee(0).makerFee(0).build();
            books[i] = new OrderBookDirectImpl(specification, pool, helper, LoggingConfiguration.DEFAULT);
        }
        return books;
    }

    private static void apply(IOrderBook[] books, long[] words, int at) {
        OrderCommand command = COMMAND;
        IOrderBook book = books[(int) words[at + 1]];
        command.symbol = (int) words[at + 1];
        command.orderId = words[at + 2];
        command.uid = words[at + 3];
        command.price = words[at + 4];
        command.reserveBidPrice = Long.MAX_VALUE;
        command.size = words[at + 5];
        command.matcherEvent = null;
        CommandResultCode code = CommandResultCode.SUCCESS;
        switch ((int) words[at]) {
            case 0:
                command.action = words[at + 6] == 1 ? OrderAction.BID : OrderAction.ASK;
                command.orderType = words[at + 7] == 1 ? OrderType.IOC : OrderType.GTC;
                book.newOrder(command);
                break;
            case 1:
                code = book.cancelOrder(command);
                break;
            case 2:
                code = book.moveOrder(command);
                break;
            default:
                code = book.reduceOrder(command);
        }
        if (code != CommandResultCode.SUCCESS) {
            refused++;
        }
        consume(command.matcherEvent, command.orderId);
    }

    private static void consume(MatcherTradeEvent event, long taker) {
        while (event != null) {
            MatcherTradeEvent next = event.nextEvent;
            if (event.eventType == MatcherEventType.TRADE) {
                hash = mix(mix(mix(mix(hash, event.matchedOrderId), taker), event.price), event.size);
                trades++;
            }
            event.nextEvent = free;
            free = event;
            event = next;
        }
    }

    private static long mix(long hash, long word) {
        hash = (hash ^ word) * 0x100000001b3L;
        return hash ^ hash >>> 29;
    }

    private static void play(IOrderBook[] books, long[] words, int from, int count) {
        for (int i = 0; i < count; i++) {
            apply(books, words, from + i * WORDS);
        }
    }

    public static void main(String[] arguments) throws Exception {
        long[] words;
        try (FileChannel file = FileChannel.open(Path.of(arguments[0]))) {
            LongBuffer mapped = file.map(FileChannel.MapMode.READ_ONLY, 0, file.size())
                    .order(ByteOrder.LITTLE_ENDIAN).asLongBuffer();
            words = new long[mapped.remaining()];
            mapped.get(words);
        }
        int runs = Integer.parseInt(arguments[1]);
        int symbols = (int) words[0], orders = (int) words[1], setup = (int) words[2], timed = (int) words[3];
        int first = 4, second = first + setup * WORDS;
        long best = Long.MAX_VALUE;
        for (int run = 0; run < runs; run++) {
            IOrderBook[] books = books(symbols, orders);
            play(books, words, first, setup);
            hash = 0;
            trades = 0;
            refused = 0;
            long start = THREADS.getCurrentThreadCpuTime();
            play(books, words, second, timed);
            best = Math.min(best, THREADS.getCurrentThreadCpuTime() - start);
        }
        long[] each = new long[timed];
        long kept = hash;
        long keptTrades = trades;
        IOrderBook[] books = books(symbols, orders);
        play(books, words, first, setup);
        for (int i = 0; i < timed; i++) {
            long start = System.nanoTime();
            apply(books, words, second + i * WORDS);
            each[i] = System.nanoTime() - start;
        }
        Arrays.sort(each);
        System.out.printf("{\"ns_per_op\": %.2f, \"p50_ns\": %d, \"p99_ns\": %d, \"operations\": %d, \"trades\": %d, "
                + "\"refused\": %d, \"trade_hash\": \"%016x\", \"java\": \"%s\"}%n",
                (double) best / timed, each[timed / 2], each[(int) (timed * 99L / 100)], timed, keptTrades, refused,
                kept, System.getProperty("java.version"));
    }
}

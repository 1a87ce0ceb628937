import java.time.LocalDateTime;
import java.time.ZoneOffset;
import quickfix.Acceptor;
import quickfix.ApplicationAdapter;
import quickfix.DefaultMessageFactory;
import quickfix.FieldNotFound;
import quickfix.Log;
import quickfix.LogFactory;
import quickfix.MemoryStoreFactory;
import quickfix.Message;
import quickfix.Session;
import quickfix.SessionID;
import quickfix.SessionSettings;
import quickfix.SocketAcceptor;
import quickfix.ThreadedSocketAcceptor;
import quickfix.field.TransactTime;
import quickfix.fix44.ExecutionReport;
import quickfix.fix44.NewOrderSingle;

/**
 * A FIX 4.4 executor on QuickFIX/J that answers each NewOrderSingle with one ExecutionReport (New) and does nothing
 * else: no book, no log, sequence numbers and sent messages in memory. Arguments: port, its CompID, the broker's
 * CompID, "single" or "threaded". Prints "ready" when it listens; ends with its standard input.
 */
public final class Executor extends ApplicationAdapter {
    private static final int[] COPIED = {11, 1, 38, 40, 44, 54, 55, 59};
    private long executions;

    @Override
    public void fromApp(Message message, SessionID id) throws FieldNotFound {
        if (!(message instanceof NewOrderSingle)) {
            return;
        }
        String number = Long.toString(++executions);
        ExecutionReport report = new ExecutionReport();
        for (int tag : COPIED) {
            if (message.isSetField(tag)) {
                report.setString(tag, message.getString(tag));
            }
        }
        report.setString(6, "0");
        report.setString(14, "0");
        report.setString(17, number);
        report.setString(37, number);
        report.setString(39, "0");
        report.set(new TransactTime(LocalDateTime.now(ZoneOffset.UTC)));
        report.setString(150, "0");
        report.setString(151, message.getString(38));
        Session.lookupSession(id).send(report);
    }

    private static final class Silence implements Log, LogFactory {
        @Override
        public Log create(SessionID id) {
            return this;
        }

        @Override
        public void clear() {}

        @Override
        public void onIncoming(String message) {}

        @Override
        public void onOutgoing(String message) {}

        @Override
        public void onEvent(String text) {}

        @Override
        public void onErrorEvent(String text) {
            System.err.println("quickfixj: " + text);
        }
    }

    private static SessionSettings settings(String port, String sender, String target) throws Exception {
        SessionSettings settings = new SessionSettings();
        SessionID id = new SessionID("FIX.4.4", sender, target);
        settings.setString("ConnectionType", "acceptor");
        settings.setString("SocketAcceptAddress", "127.0.0.1");
        settings.setString("SocketAcceptPort", port);
        settings.setString("SocketTcpNoDelay", "Y");
        settings.setString("NonStopSession", "Y");
        settings.setString("ResetOnLogon", "Y");
        settings.setString("UseDataDictionary", "Y");
        settings.setString("DataDictionary", "FIX44.xml");
        settings.setString(id, "BeginString", "FIX.4.4");
        settings.setString(id, "SenderCompID", sender);
        settings.setString(id, "TargetCompID", target);
        return settings;
    }

    public static void main(String[] arguments) throws Exception {
        SessionSettings settings = settings(arguments[0], arguments[1], arguments[2]);
        Executor executor = new Executor();
        Acceptor acceptor = arguments[3].equals("threaded")
            ? new ThreadedSocketAcceptor(executor, new MemoryStoreFactory(), settings, new Silence(),
                new DefaultMessageFactory())
            : new SocketAcceptor(executor, new MemoryStoreFactory(), settings, new Silence(),
                new DefaultMessageFactory());
        acceptor.start();
        System.out.println("ready");
        while (System.in.read() >= 0) {
            // until the benchmark closes the pipe, or ends
        }
        acceptor.stop(true);
    }
}

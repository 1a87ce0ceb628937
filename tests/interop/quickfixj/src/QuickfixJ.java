import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import quickfix.ApplicationAdapter;
import quickfix.ConfigError;
import quickfix.DataDictionary;
import quickfix.DefaultMessageFactory;
import quickfix.FileStoreFactory;
import quickfix.Initiator;
import quickfix.InvalidMessage;
import quickfix.Log;
import quickfix.LogFactory;
import quickfix.MemoryStore;
import quickfix.Message;
import quickfix.MessageStore;
import quickfix.MessageUtils;
import quickfix.Responder;
import quickfix.Session;
import quickfix.SessionID;
import quickfix.SessionSettings;
import quickfix.SessionStateListener;
import quickfix.SocketInitiator;

/**
 * A broker on QuickFIX/J, driven line by line over its standard input. QuickFIX/J keeps the sequence numbers, the
 * messages sent, the heartbeats and the resends; each logon is a new initiator over the same message store, which is in
 * files when the setting FileStorePath says where.
 * Arguments: host, port, CompID, the venue's CompID, user name, password, dictionary.
 *
 * <p>Lines in: "logon NAME=VALUE..." connects, with QuickFIX/J's own settings, and TAG=VALUE goes into the Logon;
 * "send 35=D..." a message through the session; "store N 35=D..." as if sent with number N and lost on the way;
 * "raw ..." bytes onto the session's connection; "numbers", "sender N", "target N" the next number out, in;
 * "mute" until the next logon nothing that QuickFIX/J sends reaches the wire; "logout"; "cut" drops the line, and
 * QuickFIX/J connects again by itself as ReconnectInterval says; "close" drops it for good; "quit". Fields end with SOH.
 *
 * <p>Lines out: "&lt; raw", "&gt; raw" what is on the wire; "application raw", "session raw" what QuickFIX/J took in
 * its turn; "up", "down", "refused text"; "# text" its events, "! text" its errors; "= ..." an answer.
 */
public final class QuickfixJ extends ApplicationAdapter implements Log, LogFactory, SessionStateListener {
    private static final String SOH = "\001";
    private static final PrintStream OUTPUT = new PrintStream(System.out, true, StandardCharsets.ISO_8859_1);
    private final String[] arguments;
    private final SessionID id;
    private final DataDictionary dictionary;
    private volatile MessageStore store = new MemoryStore();
    private volatile List<String[]> logonFields = List.of();
    private Initiator initiator;

    private QuickfixJ(String[] arguments) throws Exception {
        this.arguments = arguments;
        id = new SessionID("FIX.4.4", arguments[2], arguments[3]);
        dictionary = new DataDictionary(arguments[6]);
    }

    private static synchronized void say(String line) {
        OUTPUT.println(line.replace('\n', ' ').replace('\r', ' '));
    }

    // ---- what QuickFIX/J tells ----

    @Override
    public void onCreate(SessionID created) {
        Session.lookupSession(created).addStateListener(this);
    }

    @Override
    public void toAdmin(Message message, SessionID to) {
        if (!MessageUtils.isLogon(message.toString())) {
            return;
        }
        message.setString(553, arguments[4]);
        message.setString(554, arguments[5]);
        for (String[] field : logonFields) {
            message.setString(Integer.parseInt(field[0]), field[1]);
        }
    }

    @Override
    public void fromApp(Message message, SessionID from) {
        say("application " + message.toRawString());
    }

    @Override
    public void fromAdmin(Message message, SessionID from) {
        say("session " + message.toRawString());
    }

    @Override
    public void onLogon(SessionID of) {
        say("up");
    }

    @Override
    public void onDisconnect() {
        say("down");
    }

    @Override
    public void onConnectException(Exception error) {
        say("refused " + error);
    }

    @Override
    public Log create(SessionID of) {
        return this;
    }

    @Override
    public void clear() {}

    @Override
    public void onIncoming(String message) {
        say("< " + message);
    }

    @Override
    public void onOutgoing(String message) {
        say("> " + message);
    }

    @Override
    public void onEvent(String text) {
        say("# " + text);
    }

    @Override
    public void onErrorEvent(String text) {
        say("! " + text);
    }

    // ---- the lines ----

    private void logon(String words) throws Exception {
        close();
        SessionSettings settings = new SessionSettings();
        settings.setString("ConnectionType", "initiator");
        settings.setString("SocketConnectHost", arguments[0]);
        settings.setString("SocketConnectPort", arguments[1]);
        settings.setString("HeartBtInt", "30");
        settings.setString("ReconnectInterval", "86400");
        settings.setString("StartTime", "00:00:00");
        settings.setString("EndTime", "00:00:00");
        settings.setString("NonStopSession", "Y");
        settings.setString("UseDataDictionary", "Y");
        settings.setString("DataDictionary", arguments[6]);
        settings.setString(id, "BeginString", id.getBeginString());
        settings.setString(id, "SenderCompID", id.getSenderCompID());
        settings.setString(id, "TargetCompID", id.getTargetCompID());
        List<String[]> fields = new ArrayList<>();
        for (String word : words.isEmpty() ? new String[0] : words.split(SOH)) {
            String[] pair = word.split("=", 2);
            if (Character.isDigit(pair[0].charAt(0))) {
                fields.add(pair);
            } else {
                settings.setString(pair[0], pair[1]);
            }
        }
        logonFields = fields;
        if (settings.isSetting("FileStorePath")) {
            store = new FileStoreFactory(settings).create(id);
        }
        initiator = new Ticking(this, store, settings);
        initiator.start();
    }

    /** QuickFIX/J looks once a second whether a Logon or a Logout is to be sent; this one looks twenty times. */
    private static final class Ticking extends SocketInitiator {
        private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();

        Ticking(QuickfixJ broker, MessageStore store, SessionSettings settings) throws ConfigError {
            super(broker, of -> store, settings, broker, new DefaultMessageFactory());
        }

        @Override
        protected void startSessionTimer() {
            clock.scheduleWithFixedDelay(this::tick, 0, 50, TimeUnit.MILLISECONDS);
        }

        private void tick() {
            for (Session session : getManagedSessions()) {
                try {
                    session.next();
                } catch (IOException error) {
                    say("! tick: " + error);
                }
            }
        }

        @Override
        protected void stopSessionTimer() {
            clock.shutdownNow();
        }
    }

    private void close() throws IOException {
        if (initiator == null) {
            return;
        }
        Session session = Session.lookupSession(id);
        if (session != null) {
            session.disconnect("cut by the application", false);
        }
        initiator.stop(true);
        initiator = null;
    }

    private String raw(String body, String header) {
        int end = body.indexOf(SOH) + 1;
        return "8=FIX.4.4" + SOH + "9=0" + SOH + body.substring(0, end) + header + body.substring(end) + "10=000" + SOH;
    }

    /** Groups are read by the dictionary; what is missing or unknown goes out as it is. */
    private Message message(String body, String header) throws InvalidMessage {
        Message message = new Message();
        message.fromString(raw(body, header), dictionary, false);
        return message;
    }

    private void keep(int number, String body) throws Exception {
        String now = LocalDateTime.now(ZoneOffset.UTC).format(DateTimeFormatter.ofPattern("yyyyMMdd-HH:mm:ss.SSS"));
        String header = "49=" + id.getSenderCompID() + SOH + "56=" + id.getTargetCompID() + SOH;
        store.set(number, message(body, header + "34=" + number + SOH + "52=" + now + SOH).toString());
    }

    private void mute() {
        Session session = Session.lookupSession(id);
        Responder wire = session.getResponder();
        session.setResponder(new Responder() {
            @Override
            public boolean send(String data) {
                return true;
            }

            @Override
            public void disconnect() {
                wire.disconnect();
            }

            @Override
            public String getRemoteAddress() {
                return wire.getRemoteAddress();
            }
        });
    }

    private boolean serve(String line) throws Exception {
        String[] words = line.split(" ", 2);
        String rest = words.length > 1 ? words[1] : "";
        Session session = Session.lookupSession(id);
        switch (words[0]) {
            case "logon" -> logon(rest);
            case "send" -> session.send(message(rest, ""));
            case "store" -> {
                String[] parts = rest.split(" ", 2);
                keep(Integer.parseInt(parts[0]), parts[1]);
            }
            case "raw" -> {
                say("> " + rest);
                session.getResponder().send(rest);
            }
            case "numbers" -> say("= " + store.getNextSenderMsgSeqNum() + " " + store.getNextTargetMsgSeqNum());
            case "sender" -> store.setNextSenderMsgSeqNum(Integer.parseInt(rest));
            case "target" -> store.setNextTargetMsgSeqNum(Integer.parseInt(rest));
            case "mute" -> mute();
            case "logout" -> session.logout();
            case "cut" -> session.disconnect("cut by the application", false);
            case "close" -> {
                close();
                say("= closed");
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    public static void main(String[] arguments) throws Exception {
        QuickfixJ broker = new QuickfixJ(arguments);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        String line;
        boolean more = true;
        while (more && (line = input.readLine()) != null) {
            try {
                more = broker.serve(line);
            } catch (Exception error) {
                say("! " + line.split(" ", 2)[0] + ": " + error);
            }
        }
        broker.close();
        System.exit(0);
    }
}

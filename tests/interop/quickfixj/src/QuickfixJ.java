import java.io.BufferedReader;
import java.io.InputStreamReader;
import quickfix.ApplicationAdapter;
import quickfix.DefaultMessageFactory;
import quickfix.Initiator;
import quickfix.Log;
import quickfix.LogFactory;
import quickfix.MemoryStoreFactory;
import quickfix.Message;
import quickfix.Session;
import quickfix.SessionID;
import quickfix.SessionSettings;
import quickfix.SocketInitiator;

/**
 * A broker on QuickFIX/J, driven line by line over its standard input; every message on the wire is a line of output.
 * Arguments: host, port, CompID, the venue's CompID, user name, password, dictionary.
 *
 * <p>Lines: "send 35=D|11=a|..." a message; "sender N", "target N" the next number out, in; "reset"; "drop" cuts the
 * line, QuickFIX/J connects again by itself; "logout"; "logon"; "quit". Output: "&lt; raw", "&gt; raw", "up", "down".
 */
public final class QuickfixJ extends ApplicationAdapter implements Log, LogFactory {
    private final String username;
    private final String password;

    private QuickfixJ(String username, String password) {
        this.username = username;
        this.password = password;
    }

    private static synchronized void say(String line) {
        System.out.println(line.replace('\001', '|'));
        System.out.flush();
    }

    @Override
    public void toAdmin(Message message, SessionID id) {
        try {
            if (message.getHeader().getString(35).equals("A")) {
                message.setString(553, username);
                message.setString(554, password);
            }
        } catch (quickfix.FieldNotFound error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void onLogon(SessionID id) {
        say("up");
    }

    @Override
    public void onLogout(SessionID id) {
        say("down");
    }

    @Override
    public Log create(SessionID id) {
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

    private static Message read(String raw) {
        Message message = new Message();
        for (String part : raw.split("\\|")) {
            int at = part.indexOf('=');
            int tag = Integer.parseInt(part.substring(0, at));
            if (tag == 35) {
                message.getHeader().setString(tag, part.substring(at + 1));
            } else {
                message.setString(tag, part.substring(at + 1));
            }
        }
        return message;
    }

    private static boolean serve(String line, Session session) throws Exception {
        String[] words = line.split(" ", 2);
        switch (words[0]) {
            case "send" -> session.send(read(words[1]));
            case "sender" -> session.setNextSenderMsgSeqNum(Integer.parseInt(words[1]));
            case "target" -> session.setNextTargetMsgSeqNum(Integer.parseInt(words[1]));
            case "reset" -> session.reset();
            case "drop" -> session.disconnect("drop", false);
            case "logout" -> session.logout();
            case "logon" -> session.logon();
            default -> {
                return false;
            }
        }
        return true;
    }

    public static void main(String[] arguments) throws Exception {
        SessionID id = new SessionID("FIX.4.4", arguments[2], arguments[3]);
        SessionSettings settings = new SessionSettings();
        settings.setString("ConnectionType", "initiator");
        settings.setString("SocketConnectHost", arguments[0]);
        settings.setString("SocketConnectPort", arguments[1]);
        settings.setString("HeartBtInt", "30");
        settings.setString("ReconnectInterval", "1");
        settings.setString("StartTime", "00:00:00");
        settings.setString("EndTime", "00:00:00");
        settings.setString("NonStopSession", "Y");
        settings.setString("UseDataDictionary", "Y");
        settings.setString("DataDictionary", arguments[6]);
        settings.setString(id, "BeginString", "FIX.4.4");
        settings.setString(id, "SenderCompID", arguments[2]);
        settings.setString(id, "TargetCompID", arguments[3]);
        QuickfixJ broker = new QuickfixJ(arguments[4], arguments[5]);
        Initiator initiator =
                new SocketInitiator(broker, new MemoryStoreFactory(), settings, broker, new DefaultMessageFactory());
        initiator.start();
        Session session = Session.lookupSession(id);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        String line;
        while ((line = input.readLine()) != null && serve(line, session)) {}
        initiator.stop(true);
        System.exit(0);
    }
}

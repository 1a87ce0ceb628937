// The gateway's messages: the first one, which must be a Logon; whole ones for QuickFIX; long resends; bad ones.
#include "config.h"

#include "gateway.h"

#include "decimal.h"

#include <cstring>

namespace venue {

namespace {

constexpr uint64_t RESEND_PORTION = 64; // at most a few tens of kilobytes: far below the smallest bound of a queue
constexpr uint64_t GAP_MESSAGES_MAX = 10000;
constexpr uint64_t CLOSING_MS_MAX = 3000;
constexpr uint64_t WINDOW_MS = 1000;
constexpr uint64_t STRIKES_MAX = 5; // windows in a row with messages refused, then the session is logged out
constexpr int VALUE_IS_INCORRECT = 5; // of SessionRejectReason(373)
constexpr uint64_t NUMBER_MAX = (uint64_t{1} << 31) - 1; // what engines count with, and ours prints

uint64_t number_of(const std::string &text, uint64_t otherwise) {
    uint64_t number = otherwise;
    return parse_count(text, 0, 1, uint64_t{1} << 60, &number) == Parsed::Good ? number : otherwise;
}

// A field's number, as large as it may be; `none` when it is not there or no number.
uint64_t number_in(const Frame &frame, const char *tag, uint64_t none) {
    std::string text = body_field(frame, tag);
    bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return digits ? number_of(text, none - 1) : none;
}

// What a sender wrote must not become fields of the answer.
std::string printable(const std::string &text) {
    constexpr size_t TEXT_BYTES_MAX = 240;
    std::string safe = text.substr(0, TEXT_BYTES_MAX);
    for (char &c : safe)
        if (c < ' ' || c > '~')
            c = '?';
    return safe;
}

} // namespace

void Gateway::handle(Connection *connection) {
    if (connection->proxied) {
        int taken = connection->take_proxy_header();
        m_frame.sender.clear();
        if (taken < 0)
            return refuse(connection, "connections come through the venue's terminator, with a PROXY header");
        if (taken == 0)
            return;
        connection->proxied = false;
    }
    while (!connection->received().empty() && !connection->resend.active) {
        bool open = connection->state == Connection::Open;
        if (!open && connection->state != Connection::Waiting)
            break;
        read_frame(connection->received().data(), connection->received().size(), &m_frame);
        if (m_frame.kind == Frame::Partial)
            break;
        if (m_frame.kind == Frame::Broken) {
            m_counters.garbled++;
            connection->take_all();
            std::string text = "malformed message: " + m_frame.text;
            if (open)
                show_out(connection, text);
            else
                refuse(connection, text);
            break;
        }
        connection->take(m_frame.bytes);
        m_counters.messages_in++;
        if (!open)
            handle_first(connection);
        else if (!handle_frame(connection))
            break;
    }
    if (connection->state == Connection::Closing)
        connection->take_all();
}

// One message of a session; false when the connection is not to be read on.
bool Gateway::handle_frame(Connection *connection) {
    Party *party = connection->party;
    if (m_frame.kind == Frame::Garbled) {
        handle_garbled(connection, m_frame.text);
        return connection->state == Connection::Open;
    }
    bool early = m_frame.number > party->store->getNextTargetMsgSeqNum();
    connection->gap = early ? connection->gap + 1 : 0;
    party->early = early ? std::max(party->early, m_frame.number) : party->early;
    if (connection->gap > GAP_MESSAGES_MAX) {
        show_out(connection, "sequence gap: MsgSeqNum(34) " + std::to_string(party->session->getExpectedTargetNum()) +
                                 " was never sent; answer the ResendRequest(35=2)");
        return false;
    }
    if (++party->messages > party->messages_max && over_limit(party))
        return connection->state == Connection::Open;
    if (refuse_session_message(connection))
        return connection->state == Connection::Open;
    uint64_t expected = party->store->getNextTargetMsgSeqNum();
    party->good_bye = m_frame.type == "5" && !early;
    if (m_frame.type == "2")
        resend_begin(connection);
    else if (!take_hot(party))
        next(party, std::string(m_frame.data, m_frame.bytes));
    bool open = connection->state == Connection::Open;
    party->good_bye = party->good_bye && !open; // a Logout that was rejected is none
    if (m_frame.type == "5" && m_frame.number != expected) // QuickFIX counts it, and what is missing would be forgotten
        party->session->setNextTargetMsgSeqNum(expected);
    return open && !connection->resend.active;
}

// What QuickFIX takes and nobody can mean: it would answer with numbers that the peer must refuse, or take terms that
// were agreed on in the first Logon. Whatever else is wrong with such a message is QuickFIX's to say.
bool Gateway::refuse_session_message(Connection *connection) {
    Party *party = connection->party;
    bool named = m_frame.sender == party->member.comp_id && m_frame.target == m_settings.comp_id;
    char type = m_frame.type.size() == 1 ? m_frame.type[0] : '\0';
    if (!named || (type != '2' && type != '4' && type != 'A'))
        return false;
    if (type == 'A') {
        std::string fault = second_logon_fault(party);
        if (!fault.empty())
            show_out(connection, fault);
        else
            party->early = 0;
        return !fault.empty();
    }
    constexpr uint64_t none = UINT64_MAX;
    if (type == '4') {
        uint64_t next_number = number_in(m_frame, "36", none);
        bool refused = next_number > NUMBER_MAX && next_number != none;
        if (refused)
            reject(party, 36, "NewSeqNo(36) must be at most " + std::to_string(NUMBER_MAX));
        return refused;
    }
    uint64_t sent_last = party->session->getExpectedSenderNum() - 1;
    uint64_t first = number_in(m_frame, "7", none), last = number_in(m_frame, "16", none);
    if (first == none || last == none)
        return false;
    if (first > sent_last)
        reject(party, 7, "BeginSeqNo(7) is beyond the last message that was sent, " + std::to_string(sent_last));
    else if (last != 0 && last < first)
        reject(party, 16, "EndSeqNo(16) must be 0 for all, or not below BeginSeqNo(7)");
    return first > sent_last || (last != 0 && last < first);
}

// Of a Logon in the middle of a session: all that it may do is to begin both sides' numbers anew.
std::string Gateway::second_logon_fault(const Party *party) const {
    if (body_field(m_frame, "141") != "Y" || m_frame.number != 1)
        return "the session is logged on; a Logon(35=A) now may only begin both sides anew, with "
               "ResetSeqNumFlag(141)=Y "
               "and MsgSeqNum(34) 1";
    uint64_t agreed = static_cast<uint64_t>(party->state->heartBtInt().getValue());
    if (number_of(body_field(m_frame, "108"), UINT64_MAX) != agreed)
        return "HeartBtInt(108) must stay " + std::to_string(agreed) + " while the session is logged on";
    if (!body_field(m_frame, "925").empty())
        return "NewPassword(925) is taken in the first Logon of a connection only";
    return "";
}

// A session Reject(3) of the message in hand, "value is incorrect".
void Gateway::reject(Party *party, int tag, const std::string &text) {
    FIX::Message reject;
    reject.getHeader().setField(FIX::FieldBase(35, "3"));
    reject.setField(FIX::FieldBase(45, std::to_string(m_frame.number)));
    reject.setField(FIX::FieldBase(58, text));
    reject.setField(FIX::FieldBase(371, std::to_string(tag)));
    reject.setField(FIX::FieldBase(372, m_frame.type));
    reject.setField(FIX::FieldBase(373, std::to_string(VALUE_IS_INCORRECT)));
    party->state->lastReceivedTime(m_turn_time);
    if (m_frame.type != "4" && m_frame.number == party->session->getExpectedTargetNum())
        party->session->setNextTargetMsgSeqNum(m_frame.number + 1);
    m_worded = true;
    party->session->send(reject);
    m_worded = false;
}

// The window is looked at only when its messages are used up, so what is within the limit costs a count and a compare.
// True: the message was dealt with. Messages of the session itself, and what the venue asked for, are never refused.
bool Gateway::over_limit(Party *party) {
    uint64_t now = now_ms();
    if (now - party->window_ms >= WINDOW_MS) {
        bool quiet = now - party->window_ms >= 2 * WINDOW_MS || party->messages <= party->messages_max + 1;
        party->strikes = quiet ? 0 : party->strikes;
        party->window_ms = now;
        party->messages = 1;
        return false;
    }
    std::string limit = std::to_string(party->messages_max);
    bool first = party->messages == party->messages_max + 1;
    party->strikes += first ? 1 : 0;
    if (party->strikes > STRIKES_MAX || party->messages > 2 * party->messages_max + 1) {
        m_counters.throttled++;
        show_out(party->connection, "throttled: more than " + limit +
                                        " messages a second, and they went on after refusals; slow down, log on again");
        return true;
    }
    bool own = m_frame.type.size() == 1 && strchr("0123456789A", m_frame.type[0]) != nullptr &&
               strchr("6789", m_frame.type[0]) == nullptr;
    bool in_turn = m_frame.number == party->store->getNextTargetMsgSeqNum() && m_frame.number > party->early;
    if (own || !in_turn)
        return false;
    m_counters.throttled++;
    std::vector<std::pair<int, std::string>> fields = {
        {45, std::to_string(m_frame.number)},
        {58, "throttled: this session may send " + limit + " messages a second; nothing was done, send it again later"},
        {372, m_frame.type},
        {380, "0"}};
    std::string clordid = body_field(m_frame, "11");
    if (!clordid.empty())
        fields.insert(fields.begin() + 3, {379, clordid});
    party->state->lastReceivedTime(m_turn_time);
    party->store->incrNextTargetMsgSeqNum();
    send(party->member.session, "j", fields, 0, false);
    return true;
}

void Gateway::next(Party *party, const std::string &message) {
    protect(party, [&] { party->session->next(message, FIX::UtcTimeStamp::now()); });
}

// Whatever one broker's message makes QuickFIX throw ends at most that broker's session.
void Gateway::protect(Party *party, const std::function<void()> &serve) {
    m_current = party;
    Connection *connection = party->connection;
    try {
        serve();
    } catch (const FIX::InvalidMessage &error) {
        if (party->connection != nullptr)
            handle_garbled(connection, printable(error.detail.empty() ? error.what() : error.detail));
    } catch (const std::exception &error) {
        if (party->connection != nullptr)
            show_out(connection, printable(std::string("the message could not be processed: ") + error.what()));
    }
    m_current = nullptr;
    if (!m_own_reports.empty())
        take_reports();
}

// Known where it ends but not what it says: refused by number, so that the sender sees it. Without a number it cannot be
// said what was refused.
void Gateway::handle_garbled(Connection *connection, const std::string &text) {
    Party *party = connection->party;
    m_counters.garbled++;
    if (!m_frame.has_number)
        return show_out(connection, "malformed message: " + text);
    FIX::Message reject;
    reject.getHeader().setField(FIX::FieldBase(35, "3"));
    reject.setField(FIX::FieldBase(45, std::to_string(m_frame.number)));
    reject.setField(
        FIX::FieldBase(58, "malformed message: " + text + "; it was not processed, correct it and send it anew"));
    if (!m_frame.type.empty())
        reject.setField(FIX::FieldBase(372, m_frame.type));
    reject.setField(FIX::FieldBase(373, "99"));
    if (m_frame.number == party->session->getExpectedTargetNum())
        party->session->setNextTargetMsgSeqNum(m_frame.number + 1);
    party->session->send(reject);
}

// ---- the first message ---------------------------------------------------------------------------------------------------

void Gateway::handle_first(Connection *connection) {
    if (m_frame.kind == Frame::Garbled)
        return refuse(connection, "malformed message: " + m_frame.text);
    if (m_frame.type != "A")
        return refuse(connection, "the first message must be a Logon(35=A), not 35=" + m_frame.type);
    connection->logon.assign(m_frame.data, m_frame.bytes);
    std::string fault = logon_fault(connection->logon);
    if (!fault.empty())
        return refuse(connection, fault);
    connection->state = Connection::Authenticating;
    connection->deadline_ms = now_ms() + m_settings.logon_ms_max;
    watch(connection, connection->writable_wanted);
    std::string peer = connection->peer + (connection->via.empty() ? "" : " " + connection->via);
    m_callbacks.on_logon_request(m_callbacks.context, connection->id, connection->logon.data(),
                                 connection->logon.size(), peer.c_str());
}

// QuickFIX answers a Logon that does not fit the dictionary with silence; the sender is told here.
std::string Gateway::logon_fault(const std::string &message) const {
    auto named = [this](int tag) {
        std::string name;
        m_dictionary->getFieldName(tag, name);
        return name + "(" + std::to_string(tag) + ")";
    };
    try {
        m_dictionary->validate(FIX::Message(message, *m_dictionary, false));
    } catch (const FIX::RequiredTagMissing &error) {
        return "Logon: " + named(error.field) + " is missing";
    } catch (const FIX::IncorrectDataFormat &error) {
        return "Logon: " + named(error.field) + " is not of its type";
    } catch (const FIX::IncorrectTagValue &error) {
        return "Logon: the value of " + named(error.field) + " is not taken";
    } catch (const FIX::TagNotDefinedForMessage &error) {
        return "Logon: " + named(error.field) + " is not taken in a Logon";
    } catch (const FIX::InvalidTagNumber &error) {
        return "Logon: tag " + std::to_string(error.field) + " is not in the venue's dictionary";
    } catch (const std::exception &error) {
        return printable(std::string("Logon: ") + error.what());
    }
    return "";
}

void Gateway::let_in(Connection *connection) {
    read_frame(connection->logon.data(), connection->logon.size(), &m_frame);
    auto found = m_by_comp_id.find(m_frame.sender);
    if (m_stopping || found == m_by_comp_id.end())
        return refuse(connection, "the venue is closing");
    Party *party = found->second;
    depart_all(); // its last connection may have ended in this turn
    if (party->connection != nullptr)
        return refuse(connection, "the session is already logged on from " + party->connection->peer);
    if (body_field(m_frame, "141") == "Y" && party->store->undelivered())
        return refuse(connection,
                      "ResetSeqNumFlag(141)=Y would lose reports that were not delivered yet; log on without "
                      "it and request a resend");
    connection->party = party;
    party->connection = connection;
    party->early = m_frame.number > party->store->getNextTargetMsgSeqNum() ? m_frame.number : 0;
    connection->state = Connection::Open;
    party->session->setResponder(connection);
    party->text.clear();
    party->good_bye = false;
    party->messages = party->strikes = 0;
    party->window_ms = now_ms();
    party->store->keeps_orders(false);
    next(party, std::string(connection->logon));
    if (connection->state == Connection::Open && !party->session->isLoggedOn()) {
        refuse(connection, "the Logon was not accepted");
        party->session->disconnect();
    } else if (connection->state != Connection::Open && !connection->was_in) {
        note_refusal(connection, party->text.empty() ? "the Logon was not accepted" : party->text);
    }
    connection->logon.clear();
    if (connection->state != Connection::Open)
        return;
    watch(connection, connection->writable_wanted);
    handle(connection);
}

// A Logout(5) outside any session: it takes no sequence number, because nobody has logged on. Its number is the session's
// next one for who has shown to be the session, and 1 for anybody else, who would learn from it which sessions there are.
void Gateway::refuse(Connection *connection, const std::string &text) {
    if (connection->state == Connection::Authenticating) // others' messages were handled meanwhile
        read_frame(connection->logon.data(), connection->logon.size(), &m_frame);
    FIX::Message logout;
    FIX::Header &header = logout.getHeader();
    auto found = m_by_comp_id.find(m_frame.sender);
    uint64_t number =
        found == m_by_comp_id.end() || !connection->known ? 1 : found->second->store->getNextSenderMsgSeqNum();
    header.setField(FIX::FieldBase(8, "FIX.4.4"));
    header.setField(FIX::FieldBase(35, "5"));
    header.setField(FIX::FieldBase(34, std::to_string(number)));
    header.setField(FIX::FieldBase(49, m_settings.comp_id));
    header.setField(FIX::SendingTime(FIX::UtcTimeStamp::now(), 6));
    header.setField(FIX::FieldBase(56, m_frame.sender.empty() ? "UNKNOWN" : m_frame.sender));
    logout.setField(FIX::FieldBase(58, printable(text)));
    if (!connection->session_status.empty())
        logout.setField(FIX::FieldBase(1409, connection->session_status));
    connection->append(logout.toString());
    connection->state = Connection::Closing;
    connection->deadline_ms = now_ms() + CLOSING_MS_MAX;
    sent(connection);
    note_refusal(connection, printable(text));
}

void Gateway::note_refusal(const Connection *connection, const std::string &text) {
    m_counters.logons_refused++;
    std::string peer = connection->peer + (connection->via.empty() ? "" : " " + connection->via);
    m_callbacks.on_refused(m_callbacks.context, printable(m_frame.sender).c_str(), peer.c_str(), text.c_str());
}

// ---- resends ---------------------------------------------------------------------------------------------------------------

// A long range is answered in portions, in between everybody else is served; new messages wait behind it. A portion ends
// with a message that is kept: where the end of a range is not, QuickFIX gives its gap fill the number of the range's
// begin.
void Gateway::resend_begin(Connection *connection) {
    Party *party = connection->party;
    m_counters.resends++;
    uint64_t sent_last = party->session->getExpectedSenderNum() - 1;
    uint64_t first = number_of(body_field(m_frame, "7"), 0), last = number_of(body_field(m_frame, "16"), 0);
    last = last == 0 || last > sent_last ? sent_last : last;
    std::string message(m_frame.data, m_frame.bytes);
    bool whole = last - first < RESEND_PORTION && party->store->last_kept(last) == last;
    if (first == 0 || first > last || whole)
        return next(party, message);
    connection->resend = Resend{true, first, last, message};
    connection->hold(true);
    m_resends.insert(connection->id);
    watch(connection, connection->writable_wanted);
    resend_portion(connection);
}

void Gateway::resend_portion(Connection *connection) {
    if (!connection->resend.active || connection->unsent() > m_settings.queue_bytes_max / 4)
        return;
    Resend &resend = connection->resend;
    Party *party = connection->party;
    uint64_t last = std::min(resend.last, resend.next + RESEND_PORTION - 1);
    uint64_t kept = party->store->next_kept(resend.next);
    if (kept == 0 || kept > last) // one gap fill covers what is not kept, however long
        last = kept == 0 ? resend.last : std::min(resend.last, kept - 1);
    else
        last = party->store->last_kept(last);
    connection->resending = true;
    bool served = false;
    protect(party, [&] {
        FIX::Message request(resend.request, *m_dictionary, false);
        request.setField(FIX::FieldBase(7, std::to_string(resend.next)));
        request.setField(FIX::FieldBase(16, std::to_string(last)));
        request.getHeader().setField(FIX::SendingTime(FIX::UtcTimeStamp::now(), 6));
        party->session->next(request, FIX::UtcTimeStamp::now(), true);
        served = true;
    });
    connection->resending = false;
    if (!resend.active) // it was shown out meanwhile
        return;
    resend.next = last + 1;
    if (served && resend.next <= resend.last)
        return;
    resend.active = false;
    m_resends.erase(connection->id);
    connection->hold(false);
    watch(connection, connection->writable_wanted);
    handle(connection);
}

} // namespace venue

// What a gateway that follows the journal sends: messages written once, for many sessions, without an engine behind them.
#include "config.h"

#include "gateway.h"

#include "reports.h"

#include <future>

namespace venue {

void Gateway::publish(std::vector<uint16_t> sessions, const std::string &type, const std::string &body, bool kept,
                      uint64_t exec_id) {
    if (m_running && std::this_thread::get_id() != m_thread_id.load())
        return post([this, sessions = std::move(sessions), type, body, kept, exec_id] {
            for (uint16_t session : sessions)
                publish_one(m_by_number[session], type, body, kept, exec_id);
        });
    for (uint16_t session : sessions)
        publish_one(m_by_number[session], type, body, kept, exec_id);
}

// Not kept: nobody who is away gets it, and to whoever asks for it again a gap is filled instead.
void Gateway::publish_one(Party *party, std::string_view type, const std::string &body, bool kept, uint64_t exec_id) {
    bool there = party != nullptr && party->logged_on && party->connection != nullptr;
    if (party == nullptr || (!kept && !there) || (exec_id != 0 && party->incomplete))
        return;
    uint64_t number = party->store->getNextSenderMsgSeqNum();
    put(party, {type, number, m_settings.comp_id, party->member.comp_id, false}, body, exec_id, kept);
}

bool Gateway::put(Party *party, const Envelope &envelope, const std::string &body, uint64_t exec_id, bool kept) {
    Store *store = party->store;
    write_message(envelope, body, &m_message);
    try {
        store->carries(exec_id);
        if (kept)
            store->set(envelope.number, m_message);
        store->carries(0);
        store->incrNextSenderMsgSeqNum();
        m_counters.rejects += envelope.type == "j" ? 1 : 0;
    } catch (const FIX::IOException &) { // the disk is full
        store->carries(0);
        party->incomplete = true;
        m_incomplete = true;
        party->session->disconnect();
        return false;
    }
    deliver(party);
    return true;
}

// ---- copies ------------------------------------------------------------------------------------------------------------

void Gateway::add_source(uint16_t session, const std::string &header) {
    m_sources[session] = header;
}

void Gateway::copy(uint16_t to, const std::vector<struct report> &reports, uint64_t reached, bool poss_resend,
                   bool replay) {
    Party *party = m_by_number[to];
    if (m_running && std::this_thread::get_id() != m_thread_id.load())
        post([this, party, reports, reached, poss_resend, replay] {
            copy_all(party, reports, reached, poss_resend, replay);
        });
    else
        copy_all(party, reports, reached, poss_resend, replay);
}

void Gateway::copy_all(Party *party, const std::vector<struct report> &reports, uint64_t reached, bool poss_resend,
                       bool replay) {
    if (replay && (!party->logged_on || party->connection == nullptr))
        return;
    for (const struct report &report : reports) {
        auto source = m_sources.find(report.session);
        char type = source == m_sources.end() || !is_copied(report) ? '\0' : write_report(report, m_terms, &m_body);
        if (type == 0)
            continue;
        if (party->incomplete) // the order of executions is its position: nothing may come after what is missing
            return;
        m_body += "797=Y\001";
        if (replay)
            m_body += "1352=Y\001";
        uint64_t number = party->store->getNextSenderMsgSeqNum();
        Envelope envelope{{&type, 1},    number, m_settings.comp_id, party->member.comp_id, poss_resend || replay,
                          source->second};
        put(party, envelope, m_body, replay ? 0 : report.event.exec_id, !replay);
    }
    if (reached != 0 && !party->incomplete)
        party->store->reach(reached);
}

bool Gateway::incomplete() {
    return m_incomplete;
}

void Gateway::settle() {
    if (!m_running || std::this_thread::get_id() == m_thread_id.load())
        return;
    auto done = std::make_shared<std::promise<void>>();
    auto wanted = done->get_future();
    post([done] { done->set_value(); });
    while (m_running && wanted.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    }
}

} // namespace venue

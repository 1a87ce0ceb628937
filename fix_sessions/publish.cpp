// What a gateway that follows the journal sends: messages written once, for many sessions, without an engine behind them.
#include "config.h"

#include "gateway.h"

#include "reports.h"

#include <future>

namespace venue {

void Gateway::publish(std::vector<uint16_t> sessions, const std::string &type, const std::string &body, bool kept) {
    if (m_running && std::this_thread::get_id() != m_thread_id.load())
        return post([this, sessions = std::move(sessions), type, body, kept] {
            for (uint16_t session : sessions)
                publish_one(m_by_number[session], type, body, kept);
        });
    for (uint16_t session : sessions)
        publish_one(m_by_number[session], type, body, kept);
}

// Not kept: nobody who is away gets it, and to whoever asks for it again a gap is filled instead.
void Gateway::publish_one(Party *party, std::string_view type, const std::string &body, bool kept) {
    bool there = party != nullptr && party->logged_on && party->connection != nullptr;
    if (party == nullptr || (!kept && !there))
        return;
    Store *store = party->store;
    uint64_t number = store->getNextSenderMsgSeqNum();
    write_message({type, number, m_settings.comp_id, party->member.comp_id, false}, body, &m_message);
    try {
        if (kept)
            store->set(number, m_message);
        store->incrNextSenderMsgSeqNum();
    } catch (const FIX::IOException &) { // the disk is full
        party->incomplete = true;
        return party->session->disconnect();
    }
    deliver(party);
    Connection *connection = party->connection;
    if (connection != nullptr && connection->unsent() > m_settings.queue_bytes_max / 2)
        (void)connection->flush(); // so that a burst of one turn makes nobody slow; the peer's end is noticed elsewhere
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

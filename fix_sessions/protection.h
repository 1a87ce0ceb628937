// Market-maker protection: what a session's quotes traded in one instrument within a rolling window of time. The native
// twin of protection.py, which explains it.
#ifndef FIX_VENUE_PROTECTION_H
#define FIX_VENUE_PROTECTION_H

#include "terms.h"

#include <deque>
#include <utility>

namespace venue {

class Protection {
  public:
    explicit Protection(ProtectionLimits limits) : m_limits(limits) {
    }

    bool tripped() const {
        return m_tripped;
    }

    const ProtectionLimits &limits() const {
        return m_limits;
    }

    // Counts a trade of a quote; true when it is the one that trips. A limit trips when it is reached.
    bool trade(uint64_t time_ns, uint64_t lots, bool buy) {
        int64_t change = buy ? static_cast<int64_t>(lots) : -static_cast<int64_t>(lots);
        m_trades.emplace_back(time_ns, change);
        m_quantity += lots;
        m_net += change;
        uint64_t until = time_ns > m_limits.window_ns ? time_ns - m_limits.window_ns : 0;
        while (!m_trades.empty() && m_trades.front().first <= until) {
            int64_t gone = m_trades.front().second;
            m_quantity -= static_cast<uint64_t>(gone < 0 ? -gone : gone);
            m_net -= gone;
            m_trades.pop_front();
        }
        if (m_tripped || m_limits.window_ns == 0)
            return false;
        m_tripped = breach() >= 0;
        return m_tripped;
    }

    // Which limit is reached: 0 quantity, 1 delta, 2 trades; -1: none.
    int breach() const {
        uint64_t delta = static_cast<uint64_t>(m_net < 0 ? -m_net : m_net);
        if (m_limits.quantity_lots != 0 && m_quantity >= m_limits.quantity_lots)
            return 0;
        if (m_limits.delta_lots != 0 && delta >= m_limits.delta_lots)
            return 1;
        return m_limits.trades != 0 && m_trades.size() >= m_limits.trades ? 2 : -1;
    }

    void reset() {
        m_trades.clear();
        m_quantity = 0;
        m_net = 0;
        m_tripped = false;
    }

  private:
    ProtectionLimits m_limits;
    bool m_tripped = false;
    uint64_t m_quantity = 0; // sums over m_trades
    int64_t m_net = 0;
    std::deque<std::pair<uint64_t, int64_t>> m_trades; // time, lots: bought above zero
};

} // namespace venue

#endif

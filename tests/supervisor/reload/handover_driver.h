#pragma once
// For tests of the hand-over's table: one hand-over, driven event by event.

#include <doctest/doctest.h>

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "supervisor/reload/handover_state.h"

namespace zeroth {

// A hand-over driven by hand: what the last event brought, and the one verdict.
struct Driver {
  HandoverContext context;
  HandoverState state = HandoverState::Idle;
  std::vector<HandoverAction> actions;
  std::optional<HandoverVerdict> verdict;

  explicit Driver(HandoverMode mode) { context.mode = mode; }

  Driver& on(std::initializer_list<HandoverEvent> events) {
    for (const HandoverEvent event : events) {
      HandoverStep next = step(state, event, context);
      state = next.next;
      context = next.context;
      actions = std::move(next.actions);
      if (!next.verdict) continue;
      REQUIRE(!verdict);
      verdict = next.verdict;
    }
    return *this;
  }
  void check(HandoverState expected, const std::vector<HandoverAction>& last,
             std::optional<HandoverVerdict> given = {}) const {
    CHECK((state == expected));
    CHECK((actions == last));
    CHECK((verdict == given));
  }
};

}  // namespace zeroth

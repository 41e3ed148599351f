#pragma once
// What several scenarios share: programs, and looking into the living state through the control socket.

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "tests/support/daemon.h"

namespace zeroth::scenario {

inline constexpr std::string_view kDay =
    "state DAWN\nstate NOON\nstate DUSK\n"
    "align DAWN NOON strength 0.7\nalign DAWN DUSK strength 0.3\n"
    "observe convergence epsilon 0.0001\n";

// No alignment: what is injected stays apart.
inline constexpr std::string_view kApart = "state LEFT\nstate RIGHT\nobserve convergence epsilon 0.0001\n";
inline constexpr std::string_view kApartWider = "state LEFT\nstate RIGHT\nobserve convergence epsilon 0.0002\n";

inline constexpr std::string_view kBroken =
    "state DAWN\nalign DAWN WORLD strength 0.7\nobserve convergence epsilon 0.1\n";

// So slow that the field stands still for as long as a test takes.
inline const std::vector<std::string> kStandingStill = {"--rate", "0.001"};
// The same, and no snapshot but those that are asked for.
inline const std::vector<std::string> kByHand = {"--rate", "0.001", "--checkpoint-interval", "0"};

// The state document of a snapshot.
inline Json state_of(Daemon& daemon, const Json& sequence) {
  return daemon.ask("snapshot", {{"sequence", sequence}})["state"];
}

// The living state as it is now, by way of a checkpoint. `unchanged` names the newest snapshot as well.
inline Json living_state(Daemon& daemon) {
  return state_of(daemon, daemon.ask("checkpoint")["sequence"]);
}

// Divergence of a state in a document; NaN-free, so == is bit-identical but for the sign of zero.
inline double divergence(const Json& state, std::string_view name) {
  for (std::size_t i = 0; i < state["states"].size(); ++i) {
    if (state["states"][i] == name) return state["divergence"][i].get<double>();
  }
  FAIL("no state ", name, " in ", state.dump());
  return 0;
}

// For events: a `reload` that tells of an attempt. Those that say "same content" have no receipt.
inline bool is_receipt(const Json& reload) {
  return reload.contains("operation");
}

// Saves the content and waits for the verdict on the generation it becomes; the worker's status then.
inline Json edit(Daemon& daemon, std::string_view content) {
  EventStream reloads = daemon.events({"reload"});
  daemon.write(content);
  CHECK(reloads.wait_for("reload", is_receipt)["verdict"] == "ok");
  return daemon.worker();
}

}  // namespace zeroth::scenario

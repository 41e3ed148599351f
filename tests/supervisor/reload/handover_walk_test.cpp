#include "supervisor/reload/handover_state.h"

#include <doctest/doctest.h>

#include <deque>
#include <initializer_list>
#include <map>
#include <set>
#include <tuple>

namespace zeroth {
namespace {

using enum HandoverMode;
using enum HandoverState;
using enum HandoverEvent;
using enum HandoverAction;
using enum HandoverVerdict;
using Actions = std::vector<HandoverAction>;

}  // namespace

// Every sequence of events the outside can produce, from every way to begin. The world is finite, so this is all of
// them.
namespace {

struct World {
  enum class Candidate { None, Loading, Loaded, Restoring, Gone } candidate = Candidate::None;
  bool ready = false, went = false;  // go was sent; answered is in the context
  bool reexec = false, ask = false;  // unanswered
  bool verified = false;
  bool old_runs = false, old_stopping = false;  // a process; told to stop
  bool drain = false, cut = false, write = false, commit = false, go = false, resume = false;  // unanswered
  bool written = false, commit_known = false, resumed = false, stop_asked = false;
  int verdicts = 0, follow_ups = 0;

  bool candidate_alive() const { return candidate != Candidate::None && candidate != Candidate::Gone; }
  auto operator<=>(const World&) const = default;
};

struct Node {
  HandoverState state = Idle;
  HandoverContext context;
  World world;
};

auto key(const Node& n) {
  const HandoverContext& c = n.context;
  return std::tuple(n.state, c.mode, c.old_drains, c.old_cuts,
                    std::tuple(c.commit_first, c.cut_spared, c.kept_code, c.second_try, c.verify),
                    std::tuple(c.commit, c.old_alive, c.cut_taken, c.refused, c.go_answered, c.candidate_lost,
                               c.content_changed, c.stop_requested),
                    n.world);
}

// What can happen next.
std::vector<HandoverEvent> possible(const Node& n) {
  const World& w = n.world;
  std::vector<HandoverEvent> events{ContentChanged};
  if (w.candidate_alive()) events.push_back(CandidateFailed);
  if (w.candidate == World::Candidate::Loading) events.push_back(CandidateLoaded);
  if (w.reexec) events.push_back(ReexecRefused);
  if (w.ask) events.insert(events.end(), {Verified, VerifyFailed});
  if (w.candidate == World::Candidate::Restoring && !w.ready) events.push_back(CandidateReady);
  if (w.go) events.push_back(GoAnswered);
  if (w.drain) events.push_back(Drained);
  if (w.cut) events.insert(events.end(), {CutTaken, CutFailed});
  if (w.write) events.insert(events.end(), {Written, WriteFailed});
  if (w.commit) events.insert(events.end(), {Committed, CommitFailed});
  if (w.resume) events.insert(events.end(), {ResumeAnswered, ResumeLate});
  if (w.old_runs) events.push_back(OldGone);
  if (n.state == Starting) events.push_back(Withdrawn);
  if (!w.stop_asked) events.push_back(StopRequested);
  return events;
}

// Something was asked for that has a deadline, so that the hand-over moves on by itself.
bool owed(const World& w) {
  using enum World::Candidate;
  return w.candidate == Loading || (w.candidate == Restoring && !w.ready) || w.ask || w.go || w.drain || w.cut ||
         w.write || w.commit || w.resume || (w.old_runs && w.old_stopping);
}

void happen(World& w, HandoverEvent event) {
  switch (event) {
    case Begin:
    case ContentChanged:
    case Withdrawn:
    case CandidateReady:
      w.ready = w.ready || event == CandidateReady;
      break;
    case CandidateLoaded:
      w.candidate = World::Candidate::Loaded;
      w.reexec = false;
      break;
    case CandidateFailed:
      w.candidate = World::Candidate::Gone;
      w.reexec = w.ask = w.go = false;
      break;
    case ReexecRefused:
      w.candidate = World::Candidate::Gone;
      w.reexec = false;
      w.old_runs = true;
      break;
    case Verified:
    case VerifyFailed:
      w.ask = false;
      w.verified = event == Verified;
      break;
    case GoAnswered:
      w.go = false;
      break;
    case Drained:
      w.drain = false;
      break;
    case CutTaken:
    case CutFailed:
      w.cut = false;
      break;
    case Written:
    case WriteFailed:
      w.write = false;
      w.written = w.written || event == Written;
      break;
    case Committed:
    case CommitFailed:
      w.commit = false;
      w.commit_known = true;
      break;
    case ResumeAnswered:
    case ResumeLate:
      w.resume = w.drain = w.cut = false;
      break;
    case OldGone:
      w.old_runs = w.drain = w.cut = w.resume = false;
      break;
    case StopRequested:
      w.stop_asked = true;
      break;
  }
}

// Performs one action; the requirements are the invariants.
void perform(Node& n, HandoverAction action) {
  World& w = n.world;
  const bool cuts = n.context.mode != Start && n.context.old_cuts;
  switch (action) {
    case SpawnCandidate:
      REQUIRE(!w.candidate_alive());
      REQUIRE((n.context.mode == Overlap || !w.old_runs));
      REQUIRE(!w.stop_asked);
      w.candidate = World::Candidate::Loading;
      break;
    case KillCandidate:
      if (w.candidate != World::Candidate::None) w.candidate = World::Candidate::Gone;
      w.reexec = w.ask = w.go = false;
      break;
    case SendDrain:
      REQUIRE(w.old_runs);
      w.drain = true;
      break;
    case SendCut:
      REQUIRE(w.old_runs);
      REQUIRE(!w.resume);
      w.cut = true;
      break;
    case WriteCut:
      w.write = true;
      break;
    case SendRestore:
      REQUIRE((w.candidate == World::Candidate::Loaded));
      REQUIRE((w.written || !cuts));
      REQUIRE((!n.context.commit_first || !cuts || n.context.commit == HandoverContext::Saving::Durable));
      w.candidate = World::Candidate::Restoring;
      break;
    case Commit:
      REQUIRE(w.written);
      w.commit = true;
      break;
    case SendReexec:
      REQUIRE((n.context.mode == Exec && w.old_runs));
      REQUIRE((n.context.commit == HandoverContext::Saving::Durable));
      REQUIRE(!w.candidate_alive());
      REQUIRE(!w.stop_asked);
      w.candidate = World::Candidate::Loading;
      w.old_runs = false;
      w.reexec = true;
      break;
    case AskState:
      REQUIRE((w.ready && !w.went));
      w.ask = true;
      break;
    case SendGo:
      REQUIRE(w.ready);
      REQUIRE((w.verified || !n.context.verify));
      REQUIRE(!w.went);
      REQUIRE((w.written || !cuts));
      REQUIRE((!w.resume && !w.resumed));
      w.go = w.went = true;
      break;
    case SendResume:
      REQUIRE(w.old_runs);
      REQUIRE(!w.went);
      REQUIRE(!w.old_stopping);
      w.resume = true;
      w.write = false;
      w.resumed = n.state == Resuming;
      break;
    case StopOld:
      REQUIRE(w.old_runs);
      REQUIRE((w.commit_known || !cuts));
      w.old_stopping = true;
      break;
    case KillOld:
      REQUIRE((!w.went || !w.commit));  // after go, the held N is the only other copy until the commit is known
      w.old_runs = w.drain = w.cut = w.resume = false;
      break;
    case RestartOldFromCut:
      REQUIRE(n.context.cut_taken);
      [[fallthrough]];
    case RestartOldFromNewest:
    case RestartNew:
      REQUIRE((!w.old_runs && !w.stop_asked));
      REQUIRE(!w.candidate_alive());
      REQUIRE(((action == RestartNew) == n.context.go_answered));
      REQUIRE((action != RestartOldFromNewest || !n.context.cut_taken));
      w.follow_ups++;
      break;
    case StopOldWithCut:
      REQUIRE(n.context.cut_taken);
      REQUIRE(!w.resumed);
      [[fallthrough]];
    case StopOldNow:
      REQUIRE(w.stop_asked);
      REQUIRE(!w.candidate_alive());
      w.follow_ups++;
      break;
    case StopNew:
      REQUIRE((w.stop_asked && w.went));
      w.candidate = World::Candidate::None;  // its end belongs to the stop path now
      w.follow_ups++;
      break;
    case ReloadAgain:
      REQUIRE(!w.stop_asked);
      REQUIRE((n.state == Done));
      break;
  }
}

// Exactly one verdict, and exactly one owner of what comes next: a live worker or a follow-up.
void check_done(const Node& n) {
  const World& w = n.world;
  REQUIRE(w.verdicts == 1);
  REQUIRE(w.follow_ups <= 1);
  REQUIRE(!w.go);
  if (w.follow_ups == 1) return;
  REQUIRE(!w.resume);
  if (w.went && n.context.go_answered) {
    REQUIRE((w.candidate == World::Candidate::Restoring));
    REQUIRE(!w.old_runs);
  } else {
    REQUIRE(!w.candidate_alive());
    REQUIRE((w.old_runs || n.context.mode == Start));
    REQUIRE((!w.cut && !w.drain));
  }
}

}  // namespace

TEST_CASE("handover: no sequence of events breaks an invariant or gets stuck") {
  std::set<decltype(key(Node{}))> seen;
  std::deque<Node> open;
  std::map<HandoverState, int> visits;
  const auto enter = [&](Node n, HandoverEvent event) {
    happen(n.world, event);
    HandoverStep next = step(n.state, event, n.context);
    n.state = next.next;
    n.context = next.context;
    n.world.verdicts += next.verdict.has_value();
    for (const HandoverAction action : next.actions) perform(n, action);
    if (n.state == Done) check_done(n);
    if (!seen.insert(key(n)).second) return;
    visits[n.state]++;
    open.push_back(std::move(n));
  };
  for (const HandoverMode mode : {Start, Overlap, Recreate, Exec}) {
    for (int bits = 0; bits < 128; bits++) {
      Node n;
      n.context = {
          .mode = mode, .old_drains = (bits & 1) != 0, .old_cuts = (bits & 2) != 0 || mode == Overlap || mode == Exec};
      n.context.kept_code = (bits & 4) != 0;
      n.context.second_try = (bits & 8) != 0;
      n.context.commit_first = (bits & 16) != 0 && mode != Start;
      n.context.verify = (bits & 32) != 0;
      n.context.cut_spared = (bits & 64) != 0 && n.context.commit_first;
      n.world.old_runs = mode != Start;
      enter(n, Begin);
    }
  }
  while (!open.empty()) {
    const Node n = open.front();
    open.pop_front();
    if (n.state == Done) continue;
    REQUIRE(owed(n.world));
    for (const HandoverEvent event : possible(n)) enter(n, event);
  }
  for (int state = static_cast<int>(Starting); state <= static_cast<int>(Done); state++) {
    CHECK(visits[static_cast<HandoverState>(state)] > 0);
  }
}

}  // namespace zeroth

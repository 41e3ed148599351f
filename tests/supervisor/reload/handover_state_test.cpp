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

// A hand-over driven by hand: what the last event brought, and the one verdict.
struct Driver {
  HandoverContext context;
  HandoverState state = Idle;
  Actions actions;
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
  void check(HandoverState expected, const Actions& last, std::optional<HandoverVerdict> given = {}) const {
    CHECK((state == expected));
    CHECK((actions == last));
    CHECK((verdict == given));
  }
};

// An overlap that has come as far as `restore` sent and commit running.
Driver restoring() {
  Driver d(Overlap);
  d.on({Begin, CandidateLoaded, CutTaken, Written});
  return d;
}

Driver recreate_stopped() {
  Driver d(Recreate);
  d.on({Begin, CutTaken, Written, Committed, OldGone});
  return d;
}

}  // namespace

TEST_CASE("handover: a first start loads, restores, gets ready and goes") {
  Driver d(Start);
  d.on({Begin}).check(Starting, {SpawnCandidate});
  d.on({CandidateLoaded}).check(Restoring, {SendRestore});
  d.on({CandidateReady}).check(Going, {SendGo});
  d.on({GoAnswered}).check(Done, {}, Ok);
}

TEST_CASE("handover: a start that fails at any step is the caller's to judge") {
  Driver(Start).on({Begin, CandidateFailed}).check(Done, {KillCandidate}, Failed);
  Driver(Start).on({Begin, CandidateLoaded, CandidateFailed}).check(Done, {KillCandidate}, Failed);
  Driver d(Start);
  d.on({Begin, CandidateLoaded, CandidateReady, CandidateFailed}).check(Done, {KillCandidate, KillOld}, Failed);
}

TEST_CASE("handover: a save during a start begins it again, during a crash restart it waits") {
  Driver d(Start);
  d.on({Begin, ContentChanged}).check(Starting, {KillCandidate, SpawnCandidate});
  d.on({CandidateLoaded, ContentChanged, CandidateReady, GoAnswered}).check(Done, {ReloadAgain}, Ok);

  Driver kept(Start);
  kept.context.kept_code = true;
  kept.on({Begin, ContentChanged}).check(Starting, {});
  kept.on({CandidateLoaded, CandidateReady, GoAnswered}).check(Done, {ReloadAgain}, Ok);
}

TEST_CASE("handover: overlap runs start, drain, cut, write, restore beside commit, go, retire") {
  Driver d(Overlap);
  d.context.old_drains = true;
  d.on({Begin}).check(Starting, {SpawnCandidate});
  d.on({CandidateLoaded}).check(Draining, {SendDrain});
  d.on({Drained}).check(Cutting, {SendCut});
  d.on({CutTaken}).check(Writing, {WriteCut});
  d.on({Written}).check(Restoring, {SendRestore, Commit});
  d.on({CandidateReady}).check(Going, {SendGo});
  d.on({Committed}).check(Going, {});
  d.on({GoAnswered}).check(Retiring, {StopOld}, Ok);
  d.on({OldGone}).check(Done, {}, Ok);
}

TEST_CASE("handover: an N that never announced drain is cut at once") {
  Driver(Overlap).on({Begin, CandidateLoaded}).check(Cutting, {SendCut});
}

TEST_CASE("handover: N is stopped only after the commit, however early go is answered") {
  Driver d = restoring();
  d.on({CandidateReady, GoAnswered}).check(Going, {});
  d.on({Committed}).check(Retiring, {StopOld}, Ok);
}

TEST_CASE("handover: a candidate that fails before loaded is rejected and N is not touched") {
  Driver(Overlap).on({Begin, CandidateFailed}).check(Done, {KillCandidate}, Rejected);
}

TEST_CASE("handover: a candidate that fails after loaded is abandoned and N resumes") {
  Driver drained(Overlap);
  drained.context.old_drains = true;
  drained.on({Begin, CandidateLoaded, CandidateFailed}).check(Resuming, {KillCandidate, SendResume});
  drained.on({ResumeAnswered}).check(Done, {}, Abandoned);
  Driver cutting(Overlap);
  cutting.on({Begin, CandidateLoaded, CandidateFailed}).check(Resuming, {KillCandidate, SendResume});
  cutting.on({CutTaken}).check(Resuming, {});
  cutting.on({ResumeAnswered}).check(Done, {}, Abandoned);
}

TEST_CASE("handover: a late or failed cut is abandoned and N resumes") {
  Driver d(Overlap);
  d.on({Begin, CandidateLoaded, CutFailed}).check(Resuming, {KillCandidate, SendResume});
  d.on({ResumeAnswered}).check(Done, {}, Abandoned);
}

TEST_CASE("handover: N dead or hung at the cut restarts from the newest snapshot, then the change is reloaded once") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromNewest, ReloadAgain};
  Driver(Overlap).on({Begin, CandidateLoaded, OldGone}).check(Done, restart, Abandoned);
  Driver(Overlap).on({Begin, CandidateLoaded, CutFailed, ResumeLate}).check(Done, restart, Abandoned);
  Driver second(Overlap);
  second.context.second_try = true;
  second.on({Begin, CandidateLoaded, OldGone}).check(Done, {KillCandidate, KillOld, RestartOldFromNewest}, Abandoned);
}

TEST_CASE("handover: N dead before the cut restarts its kept code, then the change is reloaded once") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromNewest, ReloadAgain};
  Driver(Overlap).on({Begin, OldGone}).check(Done, restart, Abandoned);
  Driver drained(Overlap);
  drained.context.old_drains = true;
  drained.on({Begin, CandidateLoaded, OldGone}).check(Done, restart, Abandoned);
}

TEST_CASE("handover: N dead while held does not stop the reload") {
  Driver writing(Overlap);
  writing.on({Begin, CandidateLoaded, CutTaken, OldGone, Written, CandidateReady, Committed, GoAnswered});
  writing.check(Done, {}, Ok);
  restoring().on({OldGone, Committed, CandidateReady, GoAnswered}).check(Done, {}, Ok);
}

TEST_CASE("handover: N dead while held and then N+1 too takes the crash path from the cut") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromCut};
  restoring().on({OldGone, CandidateFailed}).check(Done, restart, Abandoned);
  Driver(Overlap).on({Begin, CandidateLoaded, CutTaken, OldGone, WriteFailed}).check(Done, restart, Abandoned);
}

TEST_CASE("handover: a full disk or a failed restore kills N+1 and resumes N") {
  Driver full(Overlap);
  full.on({Begin, CandidateLoaded, CutTaken, WriteFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver refused = restoring();
  refused.on({CandidateFailed}).check(Resuming, {KillCandidate, SendResume});
  refused.on({Committed}).check(Resuming, {});
  refused.on({ResumeAnswered}).check(Done, {}, Abandoned);
}

TEST_CASE("handover: a commit that fails before go abandons") {
  Driver d = restoring();
  d.on({CommitFailed}).check(Resuming, {KillCandidate, SendResume});
  d.on({ResumeAnswered}).check(Done, {}, Abandoned);
}

TEST_CASE("handover: a commit that fails before go with N dead goes on: N+1 holds the state") {
  Driver d = restoring();
  d.on({OldGone, CommitFailed}).check(Restoring, {});
  d.on({CandidateReady, GoAnswered}).check(Done, {}, OkUncommitted);
}

TEST_CASE("handover: a commit that fails after go is ok with a warning") {
  restoring().on({CandidateReady, CommitFailed, GoAnswered}).check(Retiring, {StopOld}, OkUncommitted);
  restoring().on({CandidateReady, GoAnswered, CommitFailed}).check(Retiring, {StopOld}, OkUncommitted);
}

TEST_CASE("handover: an unanswered go kills both and takes the crash path from the cut") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromCut};
  restoring().on({Committed, CandidateReady, CandidateFailed}).check(Done, restart, Failed);
  Driver early = restoring();
  early.on({CandidateReady, CandidateFailed}).check(Going, {KillCandidate});
  early.on({Committed}).check(Done, restart, Failed);
}

TEST_CASE("handover: an N+1 that dies after it answered go is restarted itself, never N") {
  Driver d = restoring();
  d.on({CandidateReady, GoAnswered, CandidateFailed}).check(Going, {KillCandidate});
  d.on({Committed}).check(Done, {KillCandidate, KillOld, RestartNew}, Failed);
  Driver retiring = restoring();
  retiring.on({Committed, CandidateReady, GoAnswered, CandidateFailed});
  retiring.check(Done, {KillCandidate, KillOld, RestartNew}, Ok);
}

TEST_CASE("handover: an unanswered resume kills N and takes the crash path") {
  Driver d = restoring();
  d.on({CandidateFailed, ResumeLate}).check(Done, {KillCandidate, KillOld, RestartOldFromCut}, Abandoned);
}

TEST_CASE("handover: a save before the cut begins again with the newest content") {
  Driver d(Overlap);
  d.context.old_drains = true;
  d.on({Begin, ContentChanged}).check(Starting, {KillCandidate, SpawnCandidate});
  d.on({CandidateLoaded, ContentChanged}).check(Undraining, {KillCandidate, SendResume});
  d.on({Drained}).check(Undraining, {});
  d.on({ResumeAnswered}).check(Starting, {SpawnCandidate});
  CHECK(!d.context.content_changed);
  d.on({CandidateFailed}).check(Done, {KillCandidate}, Rejected);
}

TEST_CASE("handover: saves from the cut on lead to exactly one more reload, whatever the verdict") {
  Driver ok(Overlap);
  ok.on({Begin, CandidateLoaded, ContentChanged, CutTaken, ContentChanged, Written, CandidateReady, ContentChanged});
  ok.on({Committed, GoAnswered}).check(Retiring, {StopOld}, Ok);
  ok.on({ContentChanged, OldGone}).check(Done, {ReloadAgain}, Ok);
  Driver abandoned = restoring();
  abandoned.on({ContentChanged, CandidateFailed, ResumeAnswered}).check(Done, {ReloadAgain}, Abandoned);
}

TEST_CASE("handover: recreate commits and stops N before N+1 starts") {
  Driver d(Recreate);
  d.context.old_drains = true;
  d.on({Begin}).check(Draining, {SendDrain});
  d.on({ContentChanged}).check(Draining, {});
  d.on({Drained}).check(Cutting, {SendCut});
  d.on({CutTaken}).check(Writing, {WriteCut});
  d.on({Written}).check(Committing, {Commit});
  d.on({Committed}).check(StoppingOld, {StopOld});
  d.on({OldGone}).check(Starting, {SpawnCandidate});
  d.on({CandidateLoaded}).check(Restoring, {SendRestore});
  d.on({CandidateReady}).check(Going, {SendGo});
  d.on({GoAnswered}).check(Done, {}, Ok);
}

TEST_CASE("handover: recreate without checkpoint stops N and lets the new code start from what there is") {
  Driver d(Recreate);
  d.context.old_cuts = false;
  d.on({Begin}).check(StoppingOld, {StopOld});
  d.on({OldGone}).check(Starting, {SpawnCandidate});
  d.on({CandidateFailed}).check(Done, {KillCandidate, KillOld, RestartOldFromNewest}, Rejected);
}

TEST_CASE("handover: recreate whose cut cannot be taken, written or committed resumes N") {
  Driver(Recreate).on({Begin, CutFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver(Recreate).on({Begin, CutTaken, WriteFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver d(Recreate);
  d.on({Begin, CutTaken, Written, CommitFailed}).check(Resuming, {KillCandidate, SendResume});
  d.on({ContentChanged, ResumeAnswered}).check(Done, {ReloadAgain}, Abandoned);
}

TEST_CASE("handover: recreate whose N+1 fails before ready starts N's kept code from the cut") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromCut};
  recreate_stopped().on({CandidateFailed}).check(Done, restart, Rejected);
  recreate_stopped().on({CandidateLoaded, CandidateFailed}).check(Done, restart, Abandoned);
  recreate_stopped().on({CandidateLoaded, CandidateReady, CandidateFailed}).check(Done, restart, Failed);
}

TEST_CASE("handover: recreate whose N dies while held goes on without stopping it") {
  Driver d(Recreate);
  d.on({Begin, CutTaken, OldGone, Written, Committed}).check(Starting, {SpawnCandidate});
  Driver uncommitted(Recreate);
  uncommitted.on({Begin, CutTaken, Written, OldGone, CommitFailed}).check(Starting, {SpawnCandidate});
  uncommitted.on({CandidateLoaded, CandidateReady, GoAnswered}).check(Done, {}, OkUncommitted);
}

TEST_CASE("handover: a stop before go kills N+1 and stops N, with the cut where there is one") {
  const Actions now{KillCandidate, StopOldNow};
  const Actions with_cut{KillCandidate, StopOldWithCut};
  Driver(Start).on({Begin, StopRequested}).check(Done, now, Abandoned);
  Driver(Overlap).on({Begin, StopRequested}).check(Done, now, Abandoned);
  Driver(Overlap).on({Begin, CandidateLoaded, CutTaken, StopRequested}).check(Done, with_cut, Abandoned);
  restoring().on({StopRequested}).check(Done, with_cut, Abandoned);
  recreate_stopped().on({StopRequested}).check(Done, with_cut, Abandoned);
}

TEST_CASE("handover: a stop while the cut is under way waits for it") {
  Driver d(Overlap);
  d.on({Begin, CandidateLoaded, StopRequested}).check(Cutting, {KillCandidate});
  d.on({CutTaken}).check(Done, {KillCandidate, StopOldWithCut}, Abandoned);
  Driver late(Overlap);
  late.on({Begin, CandidateLoaded, StopRequested, CutFailed}).check(Done, {KillCandidate, StopOldNow}, Abandoned);
}

TEST_CASE("handover: a stop after resume takes a new checkpoint, for N has moved on") {
  restoring().on({CandidateFailed, StopRequested}).check(Done, {StopOldNow}, Abandoned);
}

TEST_CASE("handover: a stop after go stops N+1") {
  Driver d = restoring();
  d.on({CandidateReady, StopRequested}).check(Going, {});
  d.on({GoAnswered, Committed}).check(Retiring, {StopOld, StopNew}, Ok);
  d.on({OldGone}).check(Done, {}, Ok);
  Driver retiring = restoring();
  retiring.on({Committed, CandidateReady, GoAnswered, StopRequested}).check(Retiring, {StopNew}, Ok);
  Driver lost = restoring();
  lost.on({Committed, CandidateReady, StopRequested, CandidateFailed});
  lost.check(Done, {KillCandidate, KillOld, StopOldWithCut}, Failed);
}

// Every sequence of events the outside can produce, from every way to begin. The world is finite, so this is all of
// them.
namespace {

struct World {
  enum class Candidate { None, Loading, Loaded, Restoring, Gone } candidate = Candidate::None;
  bool ready = false, went = false;             // go was sent; answered is in the context
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
  return std::tuple(n.state, c.mode, c.old_drains, c.old_cuts, c.kept_code, c.second_try,
                    std::tuple(c.commit, c.old_alive, c.cut_taken, c.go_answered, c.candidate_lost, c.content_changed,
                               c.stop_requested),
                    n.world);
}

// What can happen next.
std::vector<HandoverEvent> possible(const Node& n) {
  const World& w = n.world;
  std::vector<HandoverEvent> events{ContentChanged};
  if (w.candidate_alive()) events.push_back(CandidateFailed);
  if (w.candidate == World::Candidate::Loading) events.push_back(CandidateLoaded);
  if (w.candidate == World::Candidate::Restoring && !w.ready) events.push_back(CandidateReady);
  if (w.go) events.push_back(GoAnswered);
  if (w.drain) events.push_back(Drained);
  if (w.cut) events.insert(events.end(), {CutTaken, CutFailed});
  if (w.write) events.insert(events.end(), {Written, WriteFailed});
  if (w.commit) events.insert(events.end(), {Committed, CommitFailed});
  if (w.resume) events.insert(events.end(), {ResumeAnswered, ResumeLate});
  if (w.old_runs) events.push_back(OldGone);
  if (!w.stop_asked) events.push_back(StopRequested);
  return events;
}

// Something was asked for that has a deadline, so that the hand-over moves on by itself.
bool owed(const World& w) {
  using enum World::Candidate;
  return w.candidate == Loading || (w.candidate == Restoring && !w.ready) || w.go || w.drain || w.cut || w.write ||
         w.commit || w.resume || (w.old_runs && w.old_stopping);
}

void happen(World& w, HandoverEvent event) {
  switch (event) {
    case Begin:
    case ContentChanged:
    case CandidateReady:
      w.ready = w.ready || event == CandidateReady;
      break;
    case CandidateLoaded:
      w.candidate = World::Candidate::Loaded;
      break;
    case CandidateFailed:
      w.candidate = World::Candidate::Gone;
      w.go = false;
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
      REQUIRE((n.context.mode != Recreate || !w.old_runs));
      REQUIRE(!w.stop_asked);
      w.candidate = World::Candidate::Loading;
      break;
    case KillCandidate:
      if (w.candidate != World::Candidate::None) w.candidate = World::Candidate::Gone;
      w.go = false;
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
      w.candidate = World::Candidate::Restoring;
      break;
    case Commit:
      REQUIRE(w.written);
      w.commit = true;
      break;
    case SendGo:
      REQUIRE(w.ready);
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
  for (const HandoverMode mode : {Start, Overlap, Recreate}) {
    for (int bits = 0; bits < 16; bits++) {
      Node n;
      n.context = {.mode = mode, .old_drains = (bits & 1) != 0, .old_cuts = (bits & 2) != 0 || mode == Overlap};
      n.context.kept_code = (bits & 4) != 0;
      n.context.second_try = (bits & 8) != 0;
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

TEST_CASE("handover: after the verdict and its follow-up nothing more happens") {
  Driver d(Overlap);
  d.on({Begin, CandidateFailed});
  for (int event = static_cast<int>(Begin); event <= static_cast<int>(StopRequested); event++) {
    d.on({static_cast<HandoverEvent>(event)}).check(Done, {}, Rejected);
  }
}

}  // namespace zeroth

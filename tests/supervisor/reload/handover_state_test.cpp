#include "tests/supervisor/reload/handover_driver.h"

namespace zeroth {
namespace {

using enum HandoverMode;
using enum HandoverState;
using enum HandoverEvent;
using enum HandoverAction;
using enum HandoverVerdict;
using Actions = std::vector<HandoverAction>;

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

TEST_CASE("handover: where the living state is replaced, it is durable before the candidate is restored") {
  Driver d(Overlap);
  d.context.commit_first = true;
  d.on({Begin, CandidateLoaded, CutTaken}).check(Writing, {WriteCut});
  d.on({Written}).check(Committing, {Commit});
  SUBCASE("durable") {
    d.on({Committed}).check(Restoring, {SendRestore});
    d.on({CandidateReady, GoAnswered}).check(Retiring, {StopOld}, Ok);
  }
  SUBCASE("not durable") {
    d.on({CommitFailed}).check(Resuming, {KillCandidate, SendResume});
    d.on({ResumeAnswered}).check(Done, {}, Abandoned);
  }
  SUBCASE("not durable, and N is gone") {
    d.on({OldGone}).check(Committing, {});
    d.on({CommitFailed}).check(Done, {KillCandidate, KillOld, RestartOldFromCut}, Abandoned);
  }
  SUBCASE("the candidate dies meanwhile") {
    d.on({CandidateFailed}).check(Resuming, {KillCandidate, SendResume});
    d.on({Committed, ResumeAnswered}).check(Done, {}, Abandoned);
  }
}

TEST_CASE("handover: a state that is thrown away need not be cut: N is stopped, then the new one starts") {
  for (const HandoverMode mode : {Overlap, Recreate}) {
    Driver d(mode);
    d.context.commit_first = d.context.cut_spared = true;
    d.on({Begin});
    if (mode == Overlap) d.on({CandidateLoaded});
    d.on({CutFailed}).check(StoppingOld, {KillCandidate, StopOld});
    d.on({OldGone}).check(Starting, {SpawnCandidate});
    d.on({CandidateLoaded}).check(Restoring, {SendRestore});
    d.on({CandidateReady, GoAnswered}).check(Done, {}, Ok);
  }
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

TEST_CASE("handover: an edit undone while the new code loads ends without a trace, in overlap only") {
  Driver(Overlap).on({Begin, Withdrawn}).check(Done, {KillCandidate}, Unchanged);
  Driver(Start).on({Begin, Withdrawn}).check(Starting, {});
  Driver d(Overlap);
  d.on({Begin, CandidateLoaded, Withdrawn}).check(Cutting, {});
}

TEST_CASE("handover: after the verdict and its follow-up nothing more happens") {
  Driver d(Overlap);
  d.on({Begin, CandidateFailed});
  for (int event = static_cast<int>(Begin); event <= static_cast<int>(StopRequested); event++) {
    d.on({static_cast<HandoverEvent>(event)}).check(Done, {}, Rejected);
  }
}

}  // namespace zeroth

// The hand-over's table in mode exec, and where what was restored is verified.

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
Driver restoring_verified() {
  Driver d(Overlap);
  d.context.verify = true;
  d.on({Begin, CandidateLoaded, CutTaken, Written});
  return d;
}

// An exec that has come as far as N being told.
Driver reexecing() {
  Driver d(Exec);
  d.on({Begin, CutTaken, Written, Committed});
  return d;
}

}  // namespace

TEST_CASE("handover: exec runs drain, cut, write, commit, reexec, restore, go; nobody is stopped") {
  Driver d(Exec);
  d.context.old_drains = true;
  d.on({Begin}).check(Draining, {SendDrain});
  d.on({Drained}).check(Cutting, {SendCut});
  d.on({CutTaken}).check(Writing, {WriteCut});
  d.on({Written}).check(Committing, {Commit});
  d.on({Committed}).check(Reexecing, {SendReexec});
  d.on({CandidateLoaded}).check(Restoring, {SendRestore});
  d.on({CandidateReady}).check(Going, {SendGo});
  d.on({GoAnswered}).check(Done, {}, Ok);
}

TEST_CASE("handover: exec before its point of no return leaves N as it was") {
  Driver(Exec).on({Begin, CutFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver(Exec).on({Begin, CutTaken, WriteFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver(Exec).on({Begin, CutTaken, Written, CommitFailed}).check(Resuming, {KillCandidate, SendResume});
  Driver d = reexecing();
  d.on({ReexecRefused}).check(Resuming, {KillCandidate, SendResume});
  SUBCASE("it resumes") {
    d.on({ResumeAnswered}).check(Done, {}, Rejected);
  }
  SUBCASE("it does not") {
    d.on({ResumeLate}).check(Done, {KillCandidate, KillOld, RestartOldFromCut}, Rejected);
  }
  SUBCASE("a save came meanwhile") {
    d.on({ContentChanged, ResumeAnswered}).check(Done, {ReloadAgain}, Rejected);
  }
  SUBCASE("a stop came meanwhile") {
    d.on({StopRequested}).check(Done, {StopOldNow}, Rejected);
  }
}

TEST_CASE("handover: exec behind it goes on from the cut, whoever fails") {
  const Actions restart{KillCandidate, KillOld, RestartOldFromCut};
  reexecing().on({CandidateFailed}).check(Done, restart, Rejected);
  reexecing().on({CandidateLoaded, CandidateFailed}).check(Done, restart, Abandoned);
  reexecing().on({CandidateLoaded, CandidateReady, CandidateFailed}).check(Done, restart, Failed);
  reexecing().on({StopRequested}).check(Done, {KillCandidate, StopOldWithCut}, Abandoned);
  reexecing().on({ContentChanged, CandidateLoaded, CandidateReady, GoAnswered}).check(Done, {ReloadAgain}, Ok);
  Driver(Exec).on({Begin, CutTaken, Written, OldGone, Committed}).check(Starting, {SpawnCandidate});
}

TEST_CASE("handover: verified, a candidate goes only with the state it was given") {
  Driver d = restoring_verified();
  d.on({CandidateReady}).check(Verifying, {AskState});
  SUBCASE("it has it") {
    d.on({Verified}).check(Going, {SendGo});
  }
  SUBCASE("it has another") {
    d.on({VerifyFailed}).check(Resuming, {KillCandidate, SendResume});
    d.on({ResumeAnswered}).check(Done, {}, Abandoned);
  }
  SUBCASE("it has another, and N is gone") {
    d.on({OldGone}).check(Verifying, {});
    d.on({VerifyFailed}).check(Done, {KillCandidate, KillOld, RestartOldFromCut}, Abandoned);
  }
  SUBCASE("the commit fails meanwhile") {
    d.on({CommitFailed}).check(Resuming, {KillCandidate, SendResume});
  }
  SUBCASE("a stop comes meanwhile") {
    d.on({StopRequested}).check(Done, {KillCandidate, StopOldWithCut}, Abandoned);
  }
}

}  // namespace zeroth

#include "supervisor/reload/handover_state.h"

#include <utility>

namespace zeroth {
namespace {

using enum HandoverMode;
using enum HandoverState;
using enum HandoverEvent;
using enum HandoverAction;
using enum HandoverVerdict;
using Context = HandoverContext;
using Saving = HandoverContext::Saving;
using Actions = std::vector<HandoverAction>;

// What an event tells whatever the state.
Context learn(Context c, HandoverEvent event) {
  if (event == Begin) c.old_alive = c.mode != Start;
  if (event == OldGone) c.old_alive = false;
  if (event == ReexecRefused) c.old_alive = c.refused = true;
  if (event == ContentChanged) c.content_changed = true;
  if (event == StopRequested) c.stop_requested = true;
  if (event == Committed) c.commit = Saving::Durable;
  if (event == CommitFailed) c.commit = Saving::Failed;
  return c;
}

Actions and_reload(Actions actions, bool again) {
  if (again) actions.push_back(ReloadAgain);
  return actions;
}

// The content deserves one more reload: it is newer, or its try ended because N failed it before the cut.
bool content_waits(const Context& c) {
  return c.content_changed || (!c.cut_taken && !c.second_try);
}

HandoverStep spawn(Context c, Actions before = {}) {
  c.content_changed = false;
  before.push_back(SpawnCandidate);
  return {Starting, c, std::move(before)};
}

// N's process is N+1's, or nobody's, until a refusal says otherwise.
HandoverStep reexec(Context c) {
  c.content_changed = false;
  c.old_alive = false;
  return {Reexecing, c, {SendReexec}};
}

// Where N cannot be cut (recreate), what it saved by itself has to do.
HandoverStep cut(const Context& c) {
  if (c.old_cuts) return {Cutting, c, {SendCut}};
  return {StoppingOld, c, {StopOld}};
}

HandoverStep quiesce(const Context& c) {
  if (c.old_drains) return {Draining, c, {SendDrain}};
  return cut(c);
}

// The state that N cannot give is not wanted anyway: as in recreate where N cannot be cut.
HandoverStep go_on_without_cut(Context c) {
  c.mode = Recreate;
  c.old_cuts = false;
  return {StoppingOld, c, {KillCandidate, StopOld}};
}

// Before go, and N is gone, hung or already replaced: its kept code takes over again.
HandoverStep restart_old(const Context& c, HandoverVerdict verdict, bool again) {
  const HandoverAction restart = c.cut_taken ? RestartOldFromCut : RestartOldFromNewest;
  return {Done, c, and_reload({KillCandidate, KillOld, restart}, again), verdict};
}

// N+1 failed before it said loaded.
HandoverStep fail_start(const Context& c) {
  if (c.mode == Recreate || c.mode == Exec) return restart_old(c, Rejected, c.content_changed);
  return {Done, c, and_reload({KillCandidate}, c.content_changed), c.mode == Start ? Failed : Rejected};
}

// Before go, after N was asked to drain or hold: N goes on if it still can.
HandoverStep abandon(const Context& c) {
  if (c.mode == Start) return {Done, c, and_reload({KillCandidate}, c.content_changed), Failed};
  if (c.old_alive) return {Resuming, c, {KillCandidate, SendResume}};
  return restart_old(c, Abandoned, c.content_changed);
}

HandoverStep stop_before_go(const Context& c) {
  return {Done, c, {KillCandidate, c.cut_taken ? StopOldWithCut : StopOldNow}, Abandoned};
}

HandoverVerdict given_up(const Context& c) {
  return c.refused ? Rejected : Abandoned;
}

// After go N+1 is lost. N, though held, never resumes.
HandoverStep lose_new(const Context& c) {
  Actions actions{KillCandidate, KillOld};
  if (c.stop_requested) {
    actions.push_back(c.cut_taken ? StopOldWithCut : StopOldNow);
  } else if (c.mode != Start) {
    actions.push_back(c.go_answered ? RestartNew : c.cut_taken ? RestartOldFromCut : RestartOldFromNewest);
  }
  return {Done, c, and_reload(std::move(actions), c.content_changed && !c.stop_requested), Failed};
}

// After go: N may be let go once the fates of both go and the commit are known.
HandoverStep settle(const Context& c) {
  if (c.commit == Saving::Running) return {Going, c, c.candidate_lost ? Actions{KillCandidate} : Actions{}};
  if (c.candidate_lost) return lose_new(c);
  if (!c.go_answered) return {Going, c};
  const HandoverVerdict verdict = c.commit == Saving::Failed ? OkUncommitted : Ok;
  Actions actions;
  if (c.old_alive) actions.push_back(StopOld);
  if (c.stop_requested) actions.push_back(StopNew);
  if (c.old_alive) return {Retiring, c, std::move(actions), verdict};
  return {Done, c, and_reload(std::move(actions), c.content_changed && !c.stop_requested), verdict};
}

// The table: one function a state, every event in each. `remembered`: learn() took what matters. `ignored`: cannot
// happen here, or is about something already given up.
// clang-format off

HandoverStep in_idle(HandoverEvent event, const Context& c) {
  switch (event) {
    case Begin: return c.mode == Recreate || c.mode == Exec ? quiesce(c) : spawn(c);
    case CandidateLoaded: case CandidateReady: case GoAnswered: case CandidateFailed: case Drained: case CutTaken:
    case CutFailed: case Written: case WriteFailed: case Committed: case CommitFailed: case ResumeAnswered:
    case ResumeLate: case OldGone: case ContentChanged: case StopRequested: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Idle, c};
}

HandoverStep in_starting(HandoverEvent event, const Context& c) {
  switch (event) {
    case CandidateLoaded:
      if (c.mode == Overlap) return quiesce(c);
      return {Restoring, c, {SendRestore}};
    case CandidateFailed: return fail_start(c);
    case OldGone:
      if (c.mode == Start) break;  // it has no N
      return restart_old(c, Abandoned, content_waits(c));
    case ContentChanged:
      if (c.kept_code) break;
      return spawn(c, {KillCandidate});
    case Withdrawn:
      if (c.mode != Overlap) break;
      return {Done, c, {KillCandidate}, Unchanged};
    case StopRequested: return stop_before_go(c);
    case Begin: case CandidateReady: case GoAnswered: case Drained: case CutTaken: case CutFailed: case Written:
    case WriteFailed: case Committed: case CommitFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused:
    case Verified: case VerifyFailed: break;  // ignored
  }
  return {Starting, c};
}

HandoverStep in_draining(HandoverEvent event, const Context& c) {
  switch (event) {
    case Drained: return cut(c);
    case CandidateFailed: return abandon(c);
    case OldGone: return restart_old(c, Abandoned, content_waits(c));
    case ContentChanged:
      if (c.kept_code || c.mode != Overlap) break;  // the others start it later, with what is newest then
      return {Undraining, c, {KillCandidate, SendResume}};
    case StopRequested: return stop_before_go(c);
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case CutTaken: case CutFailed: case Written:
    case WriteFailed: case Committed: case CommitFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused:
    case Verified: case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Draining, c};
}

HandoverStep in_undraining(HandoverEvent event, const Context& c) {
  switch (event) {
    case ResumeAnswered: return spawn(c);
    case ResumeLate: case OldGone: return restart_old(c, Abandoned, content_waits(c));
    case StopRequested: return stop_before_go(c);
    case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case CandidateFailed: case Drained:
    case CutTaken: case CutFailed: case Written: case WriteFailed: case Committed: case CommitFailed:
    case ReexecRefused: case Verified: case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Undraining, c};
}

HandoverStep in_cutting(HandoverEvent event, Context c) {
  switch (event) {
    case CutTaken:
      c.cut_taken = true;
      if (c.stop_requested) return stop_before_go(c);
      return {Writing, c, {WriteCut}};
    case CutFailed:
      if (c.stop_requested) return stop_before_go(c);
      if (c.cut_spared) return go_on_without_cut(c);
      return abandon(c);
    case CandidateFailed: return abandon(c);
    case OldGone:
      if (c.stop_requested) return stop_before_go(c);
      return restart_old(c, Abandoned, content_waits(c));
    case StopRequested: return {Cutting, c, {KillCandidate}};  // the cut under way becomes the final checkpoint
    case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case Drained: case Written:
    case WriteFailed: case Committed: case CommitFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused:
    case Verified: case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Cutting, c};
}

HandoverStep in_writing(HandoverEvent event, Context c) {
  switch (event) {
    case Written:
      c.commit = Saving::Running;
      if (c.mode != Overlap || c.commit_first) return {Committing, c, {Commit}};
      return {Restoring, c, {SendRestore, Commit}};
    case WriteFailed: case CandidateFailed: return abandon(c);
    case StopRequested: return stop_before_go(c);
    case OldGone: case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case Drained: case CutTaken: case CutFailed:
    case Committed: case CommitFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Writing, c};
}

HandoverStep in_committing(HandoverEvent event, const Context& c) {
  switch (event) {
    case Committed: case CommitFailed:
      if (c.commit == Saving::Failed && (c.old_alive || c.commit_first)) return abandon(c);
      if (c.mode == Overlap) return {Restoring, c, {SendRestore}};
      if (!c.old_alive) return spawn(c);
      if (c.mode == Exec) return reexec(c);
      return {StoppingOld, c, {StopOld}};
    case CandidateFailed: return abandon(c);
    case StopRequested: return stop_before_go(c);
    case OldGone: case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case Drained: case CutTaken: case CutFailed:
    case Written: case WriteFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Committing, c};
}

HandoverStep in_stopping_old(HandoverEvent event, const Context& c) {
  switch (event) {
    case OldGone: return spawn(c);
    case StopRequested: return stop_before_go(c);
    case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case CandidateFailed: case Drained:
    case CutTaken: case CutFailed: case Written: case WriteFailed: case Committed: case CommitFailed:
    case ResumeAnswered: case ResumeLate: case ReexecRefused: case Verified: case VerifyFailed:
    case Withdrawn: break;  // ignored
  }
  return {StoppingOld, c};
}

HandoverStep in_reexecing(HandoverEvent event, const Context& c) {
  switch (event) {
    case CandidateLoaded: return {Restoring, c, {SendRestore}};
    case CandidateFailed: return fail_start(c);
    case ReexecRefused: return abandon(c);
    case StopRequested: return stop_before_go(c);
    case ContentChanged: break;  // remembered
    case Begin: case CandidateReady: case GoAnswered: case Drained: case CutTaken: case CutFailed: case Written:
    case WriteFailed: case Committed: case CommitFailed: case Verified: case VerifyFailed: case ResumeAnswered:
    case ResumeLate: case OldGone: case Withdrawn: break;  // ignored
  }
  return {Reexecing, c};
}

HandoverStep in_restoring(HandoverEvent event, const Context& c) {
  switch (event) {
    case CandidateReady:
      if (c.verify) return {Verifying, c, {AskState}};
      return {Going, c, {SendGo}};
    case CandidateFailed: return abandon(c);
    case CommitFailed:
      if (!c.old_alive) break;  // nobody to resume: N+1 holds the state, go on
      return abandon(c);
    case StopRequested: return stop_before_go(c);
    case Committed: case OldGone: case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case GoAnswered: case Drained: case CutTaken: case CutFailed: case Written:
    case WriteFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Restoring, c};
}

HandoverStep in_verifying(HandoverEvent event, const Context& c) {
  switch (event) {
    case Verified: return {Going, c, {SendGo}};
    case VerifyFailed: case CandidateFailed: return abandon(c);
    case CommitFailed:
      if (!c.old_alive) break;  // nobody to resume
      return abandon(c);
    case StopRequested: return stop_before_go(c);
    case Committed: case OldGone: case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case ReexecRefused: case Drained:
    case CutTaken: case CutFailed: case Written: case WriteFailed: case ResumeAnswered:
    case ResumeLate: case Withdrawn: break;  // ignored
  }
  return {Verifying, c};
}

HandoverStep in_going(HandoverEvent event, Context c) {
  switch (event) {
    case GoAnswered:
      c.go_answered = true;
      return settle(c);
    case CandidateFailed:
      c.candidate_lost = true;
      return settle(c);
    case Committed: case CommitFailed: return settle(c);
    case OldGone: case ContentChanged: case StopRequested: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case Drained: case CutTaken: case CutFailed: case Written:
    case WriteFailed: case ResumeAnswered: case ResumeLate: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Going, c};
}

HandoverStep in_retiring(HandoverEvent event, const Context& c) {
  switch (event) {
    case OldGone: return {Done, c, and_reload({}, c.content_changed && !c.stop_requested)};
    case CandidateFailed:
      if (c.stop_requested) return {Done, c, {KillCandidate, KillOld}};  // StopNew was named before
      return {Done, c, and_reload({KillCandidate, KillOld, RestartNew}, c.content_changed)};
    case StopRequested: return {Retiring, c, {StopNew}};
    case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case Drained: case CutTaken: case CutFailed:
    case Written: case WriteFailed: case Committed: case CommitFailed: case ResumeAnswered: case ResumeLate:
    case ReexecRefused: case Verified: case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Retiring, c};
}

HandoverStep in_resuming(HandoverEvent event, const Context& c) {
  switch (event) {
    case ResumeAnswered: return {Done, c, and_reload({}, c.content_changed), given_up(c)};
    case ResumeLate: case OldGone: return restart_old(c, given_up(c), content_waits(c));
    case StopRequested: return {Done, c, {StopOldNow}, given_up(c)};  // N has moved on since its cut
    case Committed: case CommitFailed: case ContentChanged: break;  // remembered
    case Begin: case CandidateLoaded: case CandidateReady: case GoAnswered: case CandidateFailed: case Drained:
    case CutTaken: case CutFailed: case Written: case WriteFailed: case ReexecRefused: case Verified:
    case VerifyFailed: case Withdrawn: break;  // ignored
  }
  return {Resuming, c};
}

// clang-format on
}  // namespace

HandoverStep step(HandoverState state, HandoverEvent event, const HandoverContext& context) {
  const Context c = learn(context, event);
  switch (state) {
    case Idle:
      return in_idle(event, c);
    case Starting:
      return in_starting(event, c);
    case Draining:
      return in_draining(event, c);
    case Undraining:
      return in_undraining(event, c);
    case Cutting:
      return in_cutting(event, c);
    case Writing:
      return in_writing(event, c);
    case Committing:
      return in_committing(event, c);
    case StoppingOld:
      return in_stopping_old(event, c);
    case Reexecing:
      return in_reexecing(event, c);
    case Restoring:
      return in_restoring(event, c);
    case Verifying:
      return in_verifying(event, c);
    case Going:
      return in_going(event, c);
    case Retiring:
      return in_retiring(event, c);
    case Resuming:
      return in_resuming(event, c);
    case Done:
      break;  // whatever comes now belongs to what follows
  }
  return {Done, context};
}

}  // namespace zeroth

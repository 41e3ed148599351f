#pragma once
// The whole reload as one pure table. Handover (its only caller) owns processes, timers and messages: it turns what
// happens into events, performs the actions in the order given, and keeps state and context between two calls. N is the
// old generation, N+1 the candidate. One machine serves the first start, the crash restart, and each way to reload.
// Every action that waits for something has a deadline out there, so each ends in one of its events. Once an action has
// ended something (KillCandidate, KillOld, a stop path), no further event about that thing is delivered.

#include <optional>
#include <vector>

namespace zeroth {

enum class HandoverMode {
  Start,     // no N: first start or crash restart, its state chosen by the caller
  Overlap,   // N+1 loads while N runs; N must have announced restore and hold
  Recreate,  // N is gone before N+1 starts
  Exec,      // N becomes N+1 under its pid; N must have announced reexec, restore and hold
};

enum class HandoverState {
  Idle,         // nothing has happened
  Starting,     // 1 N+1 is spawned and loads its code; in overlap N runs on
  Draining,     // 2 N stops accepting and answers what is open
  Undraining,   //   a newer save came while draining: N is resumed, then Starting begins again
  Cutting,      // 3 checkpoint{hold} is on its way to N
  Writing,      //   N is held; the cut is being allocated and written, N+1 knows nothing of it yet
  Committing,   //   not overlap, or commit_first: N is held until the cut is durable
  StoppingOld,  //   recreate: N is being stopped and reaped
  Reexecing,    //   exec: N checks the new code, then is N+1, which loads it; only a refusal says that it is still N
  Restoring,    // 4 N+1 takes the state and gets ready; in overlap the commit runs beside and N is held
  Verifying,    // 5 N+1 is ready and is asked what state it has; N is held as before
  Going,        // 6 go is sent: N never runs again, and stays held until the fates of both go and the commit are known
  Retiring,     // 7 N+1 is live, the verdict is given; N is being stopped and reaped
  Resuming,     //   the hand-over is abandoned before go; N was told to go on
  Done,         //   the verdict is given and nothing is left to wait for
};

enum class HandoverEvent {
  Begin,
  CandidateLoaded,  // loaded was received
  CandidateReady,   // restore is answered and ready was received
  GoAnswered,
  CandidateFailed,  // spawn failed, exit, refused restore, or late with whatever it owed last (go included)
  ReexecRefused,    // N does not become N+1 and is held as before
  Verified,         // N+1 has the state it was given
  VerifyFailed,     // it has another, or could not be asked
  Drained,          // answered, or its deadline ended
  CutTaken,         // the answer to checkpoint{hold}
  CutFailed,        // an error instead, or late
  Written,          // all bytes of the cut are allocated and written
  WriteFailed,
  Committed,  // durable: file, rename and folder
  CommitFailed,
  ResumeAnswered,
  ResumeLate,
  OldGone,         // N is reaped, asked or not
  ContentChanged,  // a newer save whose hash differs from what N+1 was started with
  Withdrawn,       // the newest content is N's, or none that is to be started: as if nothing had been saved
  StopRequested,   // the worker is to stop for good (stop, shutdown, a signal); at most once
};

enum class HandoverAction {
  SpawnCandidate,  // with the newest content (or the kept copy the caller chose)
  KillCandidate,   // KILL and reap; nothing if it is gone
  SendDrain,
  SendCut,      // checkpoint{hold}
  WriteCut,     // into the temporary file; {unchanged} counts as written and committed
  SendRestore,  // from a hard link to the temporary file; where no cut was taken, from the state the caller chose, or
                // null
  Commit,       // fsync, rename, fsync of the folder
  SendReexec,   // N's process and channel are N+1's from here on, unless it is refused
  AskState,     // of N+1, to compare it with what it was restored from
  SendGo,       // after the `live` line of the journal; routes and sockets become N+1's
  SendResume,  // ends a drain, a hold, or both; its deadline counts from the end of a cut still outstanding; a WriteCut
               // still running is dropped
  StopOld,     // stop, TERM, KILL; OldGone follows in any case
  KillOld,     // KILL and reap; nothing if it is gone

  // What follows a hand-over, at most one of them; comes with Done (StopNew also while N is still being stopped):
  RestartOldFromCut,     // crash path: N's kept code with the cut, or anything committed after it
  RestartOldFromNewest,  // crash path: N's kept code with the newest snapshot
  RestartNew,            // crash path of N+1, which was live: its back-off and rollback rules decide
  StopOldNow,            // stop path for N as far as it is alive: drain, checkpoint, commit, stop
  StopOldWithCut,  // the same for an N that is held or gone: the cut is the final checkpoint, commit it if it is not
  StopNew,         // stop path for N+1, which is live

  ReloadAgain,  // after that: one more reload, if what is on disk differs from what then runs
};

enum class HandoverVerdict {
  Ok,
  OkUncommitted,  // ok with a warning: N+1 is live, the cut could not be made durable
  Rejected,       // N+1 never said loaded; N is untouched (recreate, and exec once N was given up: restarted)
  Abandoned,      // given up before go; N goes on (or is restarted)
  Unchanged,      // withdrawn while N+1 was being started; N never noticed
  Failed,         // go was sent in vain, or mode Start came to nothing: nobody is live
};

struct HandoverContext {
  // Set by the caller before Begin.
  HandoverMode mode = HandoverMode::Start;
  bool old_drains = false;    // N announced drain
  bool old_cuts = true;       // N announced checkpoint and hold; overlap demands it
  bool commit_first = false;  // the living state is about to be replaced: durable before N+1 is restored; not for Start
  bool verify = false;        // N+1 goes only with the state that it was given
  bool cut_spared = false;    // the living state is thrown away: if it cannot be cut, N is stopped without
  bool kept_code = false;     // N+1 runs a kept copy (crash restart, rollback): a save waits for a reload of its own
  bool second_try = false;    // this content was reloaded again already because N died under the first try
  // Learnt by step(); handed back unchanged with the next event.
  enum class Saving { None, Running, Durable, Failed } commit = Saving::None;
  bool old_alive = false;  // from Begin (unless mode is Start) to OldGone or SendReexec
  bool cut_taken = false;
  bool refused = false;  // N does not become N+1
  bool go_answered = false;
  bool candidate_lost = false;   // N+1 failed after go
  bool content_changed = false;  // since the last SpawnCandidate
  bool stop_requested = false;

  bool operator==(const HandoverContext&) const = default;
};

struct HandoverStep {
  HandoverState next;
  HandoverContext context;
  std::vector<HandoverAction> actions = {};
  std::optional<HandoverVerdict> verdict = {};  // exactly one step of a hand-over carries it
};

// What to do when `event` happens in `state`. An event that cannot happen in a state, or no longer matters, changes
// nothing.
HandoverStep step(HandoverState state, HandoverEvent event, const HandoverContext& context);

}  // namespace zeroth

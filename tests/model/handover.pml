/* One reload in mode overlap: generation 1 (Old), generation 2 (New), their supervisor, and what survives them on disk. Each
   of the three may be killed once, at any moment. Behind the death of the supervisor the workers read what it had sent and
   then EOF; the next supervisor waits for both to end and adopts a state. An answer may be late at any moment, too.

   The living state is a counter; an iteration adds one. Asserted: one live generation; no effect of New before go and none
   of Old after it; go and resume exclude each other; an adopted state is never below what was reported durable, never below
   the cut while Old was not killed from outside and the commit did not fail, and exactly the live one if no worker that
   mattered was killed. Claimed: a resume that is sent is followed, and every run settles.

   Each of these variants must be refuted (tests/model/check reads the list):
     NO_GO           New acts on its own `ready`
     RESUME_AFTER_GO an unanswered go resumes Old
     EARLY_STOP      Old is stopped without waiting for the commit
     ALL_WRITE       a worker that never got go writes an emergency file as well
     ANY_EMERGENCY   an emergency file is adopted although a newer generation has committed since
     HELD_FOR_GOOD   Old answers resume and stays held */

#define OLD_MAX 2
#define NEW_MAX 4
#define NONE    255

mtype = { cut, resume, stop, restore, go, cut_taken, resumed, ready, went };
chan to_old = [4] of { mtype };
chan to_new = [4] of { mtype };
chan from_old = [4] of { mtype };
chan from_new = [4] of { mtype };

bool supervisor_up = true, old_up = true, new_up = false, old_stops = false;
bool old_runs = true, new_runs = false, new_went = false;   /* runs: does iterations */
byte old_state = 0, new_state = 0;

bool resume_sent = false, go_sent = false;
byte cut_state = NONE;                     /* bytes of the cut, once answered */
bool commit_running = false, commit_failed = false;
byte snapshot = 0, snapshot_generation = 1; /* the newest durable one */
byte committed = 0;                        /* the most that was ever reported durable */
byte emergency_old = NONE, emergency_new = NONE;

bool adopted = false, live = false;        /* how a run settles: a state was adopted, or one worker is live and supervised */
bool old_hit = false, new_hit = false;     /* killed from outside */
bool hurt = false;                         /* the live worker was killed: the loss window applies */

inline store(state, generation) {
  snapshot = state; snapshot_generation = generation;
  if :: state > committed -> committed = state :: else fi
}
inline kill_old() { hurt = hurt || (old_up && !new_went); old_up = false; old_runs = false }
inline kill_new() { hurt = hurt || (new_up && go_sent); new_up = false; new_runs = false }
inline adopt(state) {
  assert(!old_up && !new_up);
  assert(state >= committed);
  adopted = true
}

proctype Old() {
  {
end:
    do
    :: atomic { old_runs && old_state < OLD_MAX -> assert(!go_sent); assert(!new_runs); old_state++ }
    :: atomic { to_old ? cut -> old_runs = false; from_old ! cut_taken }
    :: atomic { to_old ? resume -> assert(!go_sent);
#ifndef HELD_FOR_GOOD
         old_runs = true;
#endif
         from_old ! resumed }
    :: atomic { to_old ? stop -> old_stops = true } /* takes its time, and may see EOF meanwhile */
    :: atomic { old_stops -> old_up = false }
    :: atomic { !supervisor_up && empty(to_old) -> old_runs = false }
       atomic { emergency_old = old_state; old_up = false } /* the rename makes it one step */
    od
  } unless { !old_up }
}

proctype New() {
  {
end:
    do
    :: atomic { to_new ? restore -> new_state = cut_state;
#ifdef NO_GO
         new_runs = true;
#endif
         from_new ! ready }
    :: atomic { to_new ? go -> new_runs = true; new_went = true; from_new ! went }
    :: atomic { new_runs && new_state < NEW_MAX -> assert(go_sent); assert(!old_runs); new_state++ }
    :: atomic { !supervisor_up && empty(to_new) -> new_runs = false }
       atomic {
         if
#ifdef ALL_WRITE
         :: true -> emergency_new = new_state
#else
         :: new_went -> emergency_new = new_state
         :: else
#endif
         fi;
         new_up = false }
    od
  } unless { !new_up }
}

proctype Commit() { /* fsync, rename, fsync of the folder, beside everything else */
  {
    if
    :: atomic { store(cut_state, 1); commit_running = false }
    :: atomic { commit_failed = true; commit_running = false }
    fi
  } unless { !supervisor_up }
}

proctype Supervisor() {
  {
    if :: atomic { old_runs -> store(old_state, 1) } :: true fi; /* a periodic checkpoint */

    atomic { new_up = true; run New() };
    if :: true :: goto rejected fi;

    to_old ! cut;
    if
    :: atomic { from_old ? cut_taken -> cut_state = old_state }
    :: goto abandon /* late, or New is dead, or the disk is full */
    :: atomic { !old_up && empty(from_old) -> kill_new(); adopt(snapshot) }; goto over
    fi;

    atomic { commit_running = true; run Commit() };
    to_new ! restore;
    if
    :: from_new ? ready
    :: goto abandon /* refused, dead or late */
    :: commit_failed && old_up -> goto abandon
    fi;

    atomic { go_sent = true; to_new ! go };
    if
    :: from_new ? went
    :: atomic { true -> kill_new() }; /* dead or late */
#ifdef RESUME_AFTER_GO
       goto abandon
#else
       !commit_running;
       atomic { kill_old(); adopt(cut_state) }; goto over
#endif
    fi;

#ifndef EARLY_STOP
    !commit_running;
#endif
    to_old ! stop;
    if :: true :: atomic { new_up && !commit_running -> store(new_state, 2) } fi; /* New's first periodic checkpoint */
    if
    :: !old_up
    :: atomic { true -> kill_old() }
    fi;
    live = true;
    goto over;

rejected:
    atomic { kill_new(); live = true };
    goto over;

abandon:
    atomic { kill_new() };
    if :: old_up :: atomic { !old_up -> goto restart_old } fi;
    atomic { assert(!go_sent); resume_sent = true; to_old ! resume };
    do
    :: from_old ? cut_taken
    :: atomic { from_old ? resumed -> live = true; goto over }
    :: atomic { true -> goto restart_old } /* dead or late */
    od;

restart_old:
    atomic {
      kill_old();
      if :: cut_state != NONE -> adopt(cut_state) :: else -> adopt(snapshot) fi
    };
over:
    skip
  } unless { !supervisor_up }
}

proctype Killer() {
  do
  :: atomic { !old_hit -> old_hit = true; kill_old() }
  :: atomic { !new_hit && new_up -> new_hit = true; kill_new() }
  :: atomic { supervisor_up && !adopted -> supervisor_up = false }
  :: break
  od
}

proctype NextSupervisor() {
end:
  atomic {
    !supervisor_up && !old_up && !new_up && !adopted ->
    if
    :: emergency_new != NONE -> snapshot = emergency_new
#ifdef ANY_EMERGENCY
    :: emergency_new == NONE && emergency_old != NONE -> snapshot = emergency_old
#else
    :: emergency_new == NONE && emergency_old != NONE && snapshot_generation == 1 -> snapshot = emergency_old
#endif
    :: else
    fi;
    adopt(snapshot);
    assert(old_hit || commit_failed || cut_state == NONE || snapshot >= cut_state);
    assert(hurt || snapshot == (new_went -> new_state : old_state))
  }
}

init { atomic { run Old(); run Supervisor(); run Killer(); run NextSupervisor() } }

ltl resumes { [] (resume_sent -> <> (old_runs || !old_up || !supervisor_up)) }
ltl settles { <> (live || adopted) }

/* One reload in mode exec: one process that is generation 1 and becomes generation 2, its supervisor, and what survives
   them on disk. The process may be killed once, the supervisor once, each at any moment. The living state is a counter; the
   new code may refuse, or die while it loads. Behind the death of the supervisor the process reads what it was sent and then
   EOF; the next supervisor waits for its end and adopts a state. An answer may be late at any moment.

   Asserted: no effect between the hold and go or resume; nothing is asked to become the next generation before its cut is
   durable; an adopted state is never below what was reported durable, and never below the cut once the process was told to
   become the next generation; if nobody was killed from outside it is exactly the live one. Claimed: every run settles.

   Each of these variants must be refuted (tests/model/check reads the list):
     REEXEC_BEFORE_COMMIT the process is told while the commit still runs
     RESUME_IN_VAIN       a process that does not say hello in time is told to resume
     NO_GO                the new code acts on its own `ready`
     EARLY_EMERGENCY      new code that never got go writes an emergency file
     FROM_SNAPSHOT        lost new code is followed by the snapshot before the cut */

#define OLD_MAX 2
#define NEW_MAX 4
#define NONE    255

mtype = { cut, resume, reexec, restore, go, cut_taken, resumed, refused, loaded, ready, went };
chan to_it = [4] of { mtype };
chan from_it = [4] of { mtype };

bool supervisor_up = true, up = true;
bool runs = true, held = false;
byte generation = 1, state = 0;
bool went_live = true;                      /* this image got go */

bool go_sent = false, resume_sent = false, told = false;
byte cut_state = NONE;
bool commit_running = false, commit_failed = false;
byte snapshot = 0, committed = 0;
byte emergency = NONE, emergency_generation = 0;
byte live_state = 0;                        /* of whoever was live last */

bool adopted = false, live = false, hit = false;

inline store(what) {
  snapshot = what;
  if :: what > committed -> committed = what :: else fi
}
inline lose() { up = false; runs = false }
inline adopt(what) {
  assert(!up);
  assert(what >= committed);
  assert(!told || what >= cut_state);
  assert(hit || what == live_state);
  adopted = true
}

proctype It() {
  {
end:
    do
    :: atomic { runs && ((generation == 1 && state < OLD_MAX) || (generation == 2 && state < NEW_MAX)) ->
         assert(!held); assert(generation == 1 || go_sent); state++; live_state = state }
    :: atomic { to_it ? cut -> runs = false; held = true; from_it ! cut_taken }
    :: atomic { to_it ? resume -> held = false; runs = true; from_it ! resumed }
    :: to_it ? reexec ->
         assert(held);
         if
         :: from_it ! refused
         :: atomic { generation = 2; state = 0; held = false; went_live = false } /* the memory is gone */
            if
            :: from_it ! loaded
            :: atomic { true -> lose() } /* the new code dies */
            :: skip                      /* or hangs */
            fi
         fi
    :: atomic { to_it ? restore -> state = cut_state;
#ifdef NO_GO
         runs = true;
#endif
         from_it ! ready }
    :: atomic { to_it ? go -> went_live = true; runs = true; live_state = state; from_it ! went }
    :: atomic { !supervisor_up && empty(to_it) -> runs = false }
       atomic {
         if
#ifdef EARLY_EMERGENCY
         :: true -> emergency = state; emergency_generation = generation
#else
         :: went_live -> emergency = state; emergency_generation = generation
         :: else
#endif
         fi;
         up = false }
    od
  } unless { !up }
}

proctype Commit() {
  {
    if
    :: atomic { store(cut_state); commit_running = false }
    :: atomic { commit_failed = true; commit_running = false }
    fi
  } unless { !supervisor_up }
}

proctype Supervisor() {
  {
    if :: atomic { runs -> store(state) } :: true fi; /* a periodic checkpoint */

    to_it ! cut;
    if
    :: atomic { from_it ? cut_taken -> cut_state = state }
    :: goto abandon /* late */
    :: atomic { !up && empty(from_it) -> adopt(snapshot) }; goto over
    fi;
    atomic { commit_running = true; run Commit() };
#ifndef REEXEC_BEFORE_COMMIT
    !commit_running;
    if :: commit_failed -> goto abandon :: else fi;
#endif
    atomic { told = true; to_it ! reexec };
    if
    :: from_it ? loaded
    :: from_it ? refused -> atomic { told = false }; goto abandon
    :: atomic { true -> skip }; /* dead, or late with its hello */
#ifdef RESUME_IN_VAIN
       goto abandon
#else
       goto lost
#endif
    fi;
    to_it ! restore;
    if :: from_it ? ready :: goto lost fi;
    atomic { go_sent = true; to_it ! go };
    if :: from_it ? went -> live = true; goto over :: goto lost_live fi;

lost: /* before go: what was live last is in the cut */
    atomic {
      lose();
#ifdef FROM_SNAPSHOT
      adopt(0)
#else
      adopt(snapshot)
#endif
    };
    goto over;

lost_live: /* go is unanswered: it may have run on since */
    atomic { hit = true; lose(); adopt(snapshot) };
    goto over;

abandon:
    if
    :: !up -> goto gone
    :: atomic { up -> resume_sent = true; assert(generation == 1); to_it ! resume }
    fi;
    do
    :: from_it ? cut_taken
    :: atomic { from_it ? resumed -> live = true; goto over }
    :: atomic { true -> goto gone } /* dead or late */
    od;
gone:
    atomic { hit = hit || up; lose(); adopt(snapshot) };
over:
    skip
  } unless { !supervisor_up }
}

proctype Killer() {
  do
  :: atomic { !hit && up -> hit = true; lose() }
  :: atomic { supervisor_up && !adopted -> supervisor_up = false }
  :: break
  od
}

proctype NextSupervisor() {
end:
  atomic {
    !supervisor_up && !up && !adopted ->
    if
    :: emergency != NONE -> snapshot = emergency
    :: else
    fi;
    adopt(snapshot)
  }
}

init { atomic { run It(); run Supervisor(); run Killer(); run NextSupervisor() } }

ltl settles { <> (live || adopted) }

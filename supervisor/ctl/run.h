#pragma once
// Doing what a command line says: finding the instance, asking it, showing the answer, and the exit code.

#include "common/message.h"
#include "common/result.h"
#include "supervisor/ctl/discovery.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {

// The one instance the command line means. Fails with the exit code in Error.code: none answers, several do, or what
// is there does not answer as it should.
Result<Probe> choose(const Invocation& call);
Result<Probe> choose(const Invocation& call, std::vector<Probe> probes);

// Says to stderr why the request failed, and gives the exit code.
int report(const Refusal& refusal);
int report(const Error& error);

// The functions of verbs; each gives the exit code.
int run_call(const Invocation& call);    // ask, show the result
int run_stop(const Invocation& call);    // the same; if the supervisor is what stops, returns when it has ended
int run_stream(const Invocation& call);  // ask, then show events until the end
int run_start(const Invocation& call);
int run_version(const Invocation& call);
int run_worker_program(const Invocation& call);  // becomes zeroth-worker with the same words

// All of zerothctl.
int run_ctl(int argc, const char* const* argv);

}  // namespace zeroth

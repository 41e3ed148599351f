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

// The same, having said why not; with --json also what there is instead, as `status` does. The code is the exit code.
Result<Probe> choose_or_tell(const Invocation& call);
Result<Probe> choose_or_tell(const Invocation& call, std::vector<Probe> probes);

// For an answer: --timeout, else the verb's.
Milliseconds deadline_of(const Invocation& call);

// Shows what was answered, by the verb or as JSON; gives the exit code, which a receipt decides.
int show_result(const Invocation& call, const Json& result);

// How a command line begins that means this instance where this one found it: "zerothctl -n shop".
std::string pointer_to(const Invocation& call, const Probe& probe);

// Says to stderr why the request failed, and gives the exit code.
int report(const Refusal& refusal);
int report(const Error& error);

// The functions of verbs; each gives the exit code.
int run_call(const Invocation& call);    // ask, show the result
int run_stream(const Invocation& call);  // ask, then show events until the end
int run_start(const Invocation& call);   // where nothing runs
int run_version(const Invocation& call);
int run_worker_program(const Invocation& call);  // becomes zeroth-worker with the same words

// All of zerothctl.
int run_ctl(int argc, const char* const* argv);

}  // namespace zeroth

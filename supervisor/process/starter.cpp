#include "supervisor/process/starter.h"

#include <cerrno>
#include <utility>

namespace zeroth {

Status Starter::start(SpawnRequest request, Child::Hooks hooks, Done done) {
  if (busy_) return fail("the disk of " + busy_->request.argv.front() + " does not answer", EBUSY);
  const auto job = std::make_shared<Job>();
  job->request = std::move(request);
  job->hooks = std::move(hooks);
  job->done = std::move(done);
  busy_ = job;
  loop_.in_pool([job] { job->spawned = spawn(job->request); },
                [this, job, loop = &loop_, alive = std::weak_ptr<void>(alive_)] {
                  if (!alive.expired()) busy_.reset();
                  const Done call = std::exchange(job->done, nullptr);
                  if (!job->spawned) {
                    if (call) call(fail(std::move(job->spawned.error())));
                    return;
                  }
                  auto child = Child::adopt(*loop, std::move(*job->spawned), job->request, std::move(job->hooks));
                  if (call) call(std::move(child));
                });
  return {};
}

void Starter::forget() {
  if (!busy_) return;
  busy_->done = nullptr;
  busy_->hooks = {};
}

}  // namespace zeroth

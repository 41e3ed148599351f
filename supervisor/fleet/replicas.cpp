#include "supervisor/fleet/replicas.h"

#include <map>
#include <utility>

namespace zeroth {

std::vector<FleetWorker> replicas_of(const FleetWorker& worker, int count) {
  if (count == 0) return {worker};
  std::vector<FleetWorker> made(static_cast<std::size_t>(count), worker);
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i].group = worker.name;
    made[i].name = made[i].options.name = worker.name + "-" + std::to_string(i + 1);
  }
  return made;
}

void depend_on_each(std::vector<FleetWorker>& workers) {
  std::map<std::string, std::vector<std::string>> names;
  for (const FleetWorker& worker : workers) {
    if (!worker.group.empty()) names[worker.group].push_back(worker.name);
  }
  for (FleetWorker& worker : workers) {
    std::vector<std::string> all;
    for (const std::string& name : worker.depends_on) {
      const auto replicas = names.find(name);
      if (replicas == names.end()) {
        all.push_back(name);
      } else {
        all.insert(all.end(), replicas->second.begin(), replicas->second.end());
      }
    }
    worker.depends_on = std::move(all);
  }
}

}  // namespace zeroth

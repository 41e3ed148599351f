#include "supervisor/fleet/dependencies.h"

#include <algorithm>
#include <functional>
#include <set>

namespace zeroth {

std::vector<std::string> find_cycle(const Dependencies& dependencies) {
  std::set<std::string> clear;
  std::vector<std::string> path;
  const std::function<bool(const std::string&)> walk = [&](const std::string& name) {
    const auto before = std::find(path.begin(), path.end(), name);
    if (before != path.end()) {
      path.erase(path.begin(), before);
      path.push_back(name);
      return true;
    }
    const auto found = dependencies.find(name);
    if (found == dependencies.end() || clear.count(name) > 0) return false;
    path.push_back(name);
    for (const std::string& on : found->second) {
      if (walk(on)) return true;
    }
    path.pop_back();
    clear.insert(name);
    return false;
  };
  for (const auto& [name, on] : dependencies) {
    if (walk(name)) return path;
  }
  return {};
}

std::vector<std::string> start_order(const std::vector<std::string>& names, const Dependencies& dependencies) {
  std::vector<std::string> order;
  std::set<std::string> done;
  const std::function<void(const std::string&)> add = [&](const std::string& name) {
    if (!done.insert(name).second) return;
    const auto found = dependencies.find(name);
    if (found != dependencies.end()) std::for_each(found->second.begin(), found->second.end(), add);
    if (std::find(names.begin(), names.end(), name) != names.end()) order.push_back(name);
  };
  std::for_each(names.begin(), names.end(), add);
  return order;
}

}  // namespace zeroth

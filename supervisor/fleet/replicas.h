#pragma once
// One entry of a fleet file that stands for several workers. Pure.

#include <string>
#include <vector>

#include "supervisor/fleet/fleet_file.h"

namespace zeroth {

inline constexpr int kMostReplicas = 256;

// NAME-1 to NAME-`count`, which have everything else in common; the worker itself if `count` is 0.
std::vector<FleetWorker> replicas_of(const FleetWorker& worker, int count);

// Who depends on a name that replicas share depends on each of them.
void depend_on_each(std::vector<FleetWorker>& workers);

}  // namespace zeroth

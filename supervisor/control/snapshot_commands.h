#pragma once
// The commands that keep, compare and move snapshots: pin, unpin, diff, export, import. In control_commands.cpp's
// table.

#include "supervisor/control/command_support.h"

namespace zeroth {

// The envelope as `snapshots` and `snapshot` show it, with "pinned".
Json describe_snapshot(const SnapshotStore& store, const SnapshotEnvelope& envelope);

namespace keeping {
void pin(Targets targets, const Peer& peer, const Request& request);
void unpin(Targets targets, const Peer& peer, const Request& request);
void diff(Targets targets, const Peer& peer, const Request& request);
void export_file(Targets targets, const Peer& peer, const Request& request);
void import_file(Targets targets, const Peer& peer, const Request& request);
}  // namespace keeping

}  // namespace zeroth

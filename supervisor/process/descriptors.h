#pragma once
// Keeps a child from inheriting what is not meant for it. Called between fork and exec: nothing here allocates or
// locks.

namespace zeroth {

// Every descriptor from 3 up will close at exec.
void close_on_exec_from_3();

// The same for kernels before 5.11, by walking /proc/self/fd.
void close_on_exec_from_3_by_walk();

}  // namespace zeroth

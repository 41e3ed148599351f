#include "worker/language/program.h"

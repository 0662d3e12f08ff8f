// A library to be preloaded into a node by tests; it exports nothing but the calls it stands in front of.
#ifndef DISK_TRACE_H
#define DISK_TRACE_H
#endif

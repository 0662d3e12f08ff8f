// A library to be preloaded into a node by tests; it exports nothing but the calls it stands in front of.
#ifndef POWER_LOSS_H
#define POWER_LOSS_H
#endif

/* A directory with a few files of /proc and /sys in it, made from a text, for code that looks at
 * the host beneath a root (core/inspect/sysfs.h).
 *
 * The text, by lines: "[sys/class/net/eth0]" is the directory that what follows lies in;
 * "mtu = 1500" a file of one line; "driver -> ../e1000e" a symbolic link; "cpuinfo <<" a file of
 * the lines up to ">>"; "#" a comment. */
#pragma once

/* tests/fixtures/host/<name>.root; the descriptor of its root, closed by the caller. The files are
 * removed by fake_root_remove(). */
int fake_root_make(const char *name);
/* More of the same into it, or other content for a file that is there. */
void fake_root_add(const char *text);
void fake_root_delete(const char *path);
void fake_root_remove(void);

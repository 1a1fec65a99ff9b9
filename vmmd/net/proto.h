/* What a worker asks of vmmd-net: one frame (core/base/frame.h) over their stream socket, of the
 * type NET_RUN, with passt's words as NUL-terminated strings and two descriptors: the guest's
 * socket, and where passt's messages go. Nothing answers it. When passt has ended its wait status
 * comes, as an int32; the socket's end is the end of both processes, in either direction. */
#pragma once

enum net_fd { NET_FD_WORKER = 3, NET_FD_PASST /* its pidfd, once it runs */ };
enum net_type { NET_RUN = 1 };
enum net_attached { NET_SOCK, NET_MESSAGES, NET_ATTACHED };

#define NET_MAX_PAYLOAD 16384

/* Stand-ins for vmmd-main, vmmd-worker and vmmd-jail: the test program itself, started under their
 * names by the real vmmd. Main does what the test asks of it over api.sock, in frames; so a test
 * sees the helper exactly as main does, and reads off what each program was given. */
#pragma once

/* Types of the frames to main. */
enum ask {
    ASK_HELPER = 1, /* payload: a message for the helper -> its reply and descriptor */
    ASK_FDS,        /* -> the descriptors main had when it started */
    ASK_EXIT,       /* payload: byte, the exit code */
    ASK_STUBBORN    /* SIGTERM is ignored from now on -> empty */
};

/* First thing in main(): if argv[0] is one of the three names, plays that part and does not return.
 *
 * vmmd-main says READY, echoes what the front's clients send, and answers asks. With
 * VMMD_FAILPOINT=main.exit=N it leaves with N instead. The worker reports "worker PID\nvm
 * UUID\nworker fds LIST\n" and its jail's "jail fds LIST\npid N\nkvm ..." on its main socket, makes
 * its run directory and lives until it is killed. The jail leaves when its lifeline ends. */
void standin_play(int argc, char **argv);

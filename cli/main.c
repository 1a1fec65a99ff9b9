/* vmmctl: vmmd from the command line. A client of the HTTPS API like any other: nothing here can do
 * what a curl line cannot.
 *
 *   cli.c         one run: argv -> exit code        command.h  the table that drives everything
 *   args.c        splits argv by the table          help.c man.c suggest.c   texts from the table
 *   connection.c  where the service is              http.c trust.c sse.c     how to talk to it
 *   output.c cell.c table.c yaml.c                  objects on stdout
 *   wait.c progress.c interrupt.c                   following operations
 *   vm.c console.c op.c event.c …                   one file a noun */
#include "cli/cli.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    return cli_main(argc, argv, stdout, stderr, STDIN_FILENO);
}

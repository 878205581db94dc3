/* SPDX-License-Identifier: Apache-2.0 */
#include "base/complete.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/log.h"
#include "guests/fake/attach.h"
#include "guests/fake/options.h"
#include "guests/fake/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#define EXIT_USAGE 2

/* Returns: a descriptor that becomes readable when it is time to stop, or −1 */
static int open_stop_signals(GError **error)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    int fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "signalfd");
    return fd;
}

static gboolean run(const CvdVmOptions *options, GError **error)
{
    g_auto(CvdVmAttachment) attachment = CVD_VM_ATTACHMENT_INIT;
    g_autofree char *path = options->socket != NULL
                                ? g_strdup(options->socket)
                                : cvd_instance_find_socket(options->name, "vm.sock", error);

    if (path == NULL)
        return FALSE;
    cvd_autofd signal_fd = open_stop_signals(error);
    if (signal_fd < 0)
        return FALSE;
    switch (cvd_vm_attach(&attachment, path, signal_fd, options, error)) {
    case CVD_VM_ATTACHED:
        return cvd_vm_serve(&attachment, signal_fd, options, error);
    case CVD_VM_STOPPED:
        g_message("stopped in the hand-over");
        return TRUE;
    case CVD_VM_FAILED:
        return FALSE;
    }
    g_assert_not_reached();
}

int main(int argc, char **argv)
{
    g_auto(CvdVmOptions) options = {0};
    g_autoptr(GError) error = NULL;

    if (cvd_fd_fill_stdio() < 0)
        return EXIT_FAILURE;
    if (cvd_complete_is_asked((const char *const *)argv))
        return cvd_vm_options_complete(argv + 2);
    signal(SIGPIPE, SIG_IGN);
    cvd_log_init("cvd-vm", FALSE);
    if (!cvd_vm_options_parse((const char *const *)argv, &options, &error)) {
        g_critical("%s", error->message);
        return EXIT_USAGE;
    }
    if (options.version)
        return puts("cvd-vm " CVD_VERSION) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    cvd_log_init(NULL, options.verbose);
    if (!run(&options, &error)) {
        g_critical("%s", error->message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

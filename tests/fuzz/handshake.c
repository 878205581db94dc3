/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that says anything to the client library, with descriptors or without: a conversation
 * that succeeds has what it promises, and one that fails says why.
 */
#include "client/handshake.h"
#include "tests/fuzz/fuzz.h"

#include "base/fd.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listening;
static char *path;
static int window, doorbell;

static void remove_socket(void)
{
    unlink(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    fuzz_init();
    path = g_strdup_printf("/tmp/cvd-fuzz-%d", getpid());
    atexit(remove_socket);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listening, 8) < 0)
        return 1;
    window = memfd_create("window", MFD_CLOEXEC);
    doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ftruncate(window, 65536);
}

static void check(CvdHandshake *handshake, gboolean is_list)
{
    CvdHandshakeResult *result = cvd_handshake_get_result(handshake);

    if (is_list ? result->regions == NULL
                : result->window < 0 || result->guest_to_host < 0 || result->host_to_guest < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    guint8 seed = size > 0 ? data[0] : 0, flags = size > 1 ? data[1] : 0;
    gboolean is_list = (flags & 1) != 0;
    g_autoptr(CvdHandshake) handshake = cvd_handshake_new(path, is_list ? NULL : "sensors", 1000);
    g_autoptr(GError) error = NULL;
    if (!is_list && (flags & 4) != 0)
        cvd_handshake_observe(handshake);
    CvdHandshakeStep step = cvd_handshake_step(handshake, &error);
    cvd_autofd server = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    guint n_passed = 0;

    data += MIN(size, 2);
    size -= MIN(size, 2);
    while (step == CVD_HANDSHAKE_AGAIN && size > 0) {
        gsize n = fuzz_chunk(&seed, size);
        const int fds[] = {n_passed == 2 ? window : doorbell};
        gboolean passes = (flags & 2) != 0 && n == 8;
        cvd_socket_send(server, data, n, fds, passes);
        n_passed += passes;
        data += n;
        size -= n;
        step = cvd_handshake_step(handshake, &error);
        fuzz_drain(server);
    }
    cvd_close_fd(&server);
    for (guint i = 0; i < 1000 && step == CVD_HANDSHAKE_AGAIN; i++)
        step = cvd_handshake_step(handshake, &error);
    if (step == CVD_HANDSHAKE_AGAIN || (step == CVD_HANDSHAKE_FAILED) != (error != NULL))
        abort();
    if (step == CVD_HANDSHAKE_DONE)
        check(handshake, is_list);
    return 0;
}

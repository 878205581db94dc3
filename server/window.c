/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window is written through its descriptor and never kept mapped, so no peer can bring a SIGBUS
 * upon the server. Huge pages cannot be written so; there a short-lived mapping does it, of pages
 * that were reserved when the window was made and whose number the seals keep. Its size costs
 * nothing: pages appear when they are touched, unless prealloc is asked for.
 */
#include "server/window.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/cgroup.h"
#include "server/hugepages.h"
#include "server/layout-private.h"
#include "server/ready-word.h"
#include "server/shm-name.h"
#include "vsoc/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#define ZEROS_SIZE     4096
#define ZEROS_PER_CALL 64
#define PIECE_SIZE     (256 * 1024)

G_DEFINE_ENUM_TYPE(CvdWindowBacking, cvd_window_backing,
                   G_DEFINE_ENUM_VALUE(CVD_WINDOW_MEMFD, "memfd"),
                   G_DEFINE_ENUM_VALUE(CVD_WINDOW_POSIX_SHM, "posix-shm"))

struct CvdWindow {
    CvdLayout *layout;
    int fd;
    char *path;       /* NULL for a memfd */
    CvdShmName *name; /* the same */
    guint64 size;
    guint64 hugepage_size;
    gboolean prealloc;
    CvdLogLimit log_limit;
};

static const char *window_name(const CvdWindow *window)
{
    return window->path != NULL ? window->path : "window (memfd)";
}

static gboolean fail(const CvdWindow *window, const char *call, GError **error)
{
    const char *advice = errno == EFBIG ? " (raise the limit of a file's size, ulimit -f)" : "";

    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s%s", window_name(window),
                               call, advice);
}

static void set_space_error(const CvdWindow *window, int saved_errno, GError **error)
{
    struct statvfs vfs;

    if (window->path == NULL || fstatvfs(window->fd, &vfs) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, saved_errno,
                            "%s: no memory for all of its %ju bytes at once; free some or set "
                            "window.prealloc to false",
                            window_name(window), window->size);
        return;
    }
    g_autofree char *directory = g_path_get_dirname(window->path);
    g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                "%s: %ju bytes are needed, %ju are free in %s; free some there, or remount it with "
                "a larger size (mount -o remount,size=...)",
                window->path, window->size, (guint64)vfs.f_bavail * vfs.f_frsize, directory);
}

/* The kernel kills somebody in a control group that is too small; fallocate does not fail. */
static gboolean check_cgroup(const CvdWindow *window, GError **error)
{
    g_autofree char *limit_file = NULL;
    guint64 n_free = cvd_cgroup_get_free_memory(NULL, &limit_file);
    struct sysinfo info = {0};

    sysinfo(&info); /* what is swapped out makes room */
    if (n_free >= window->size || n_free + (guint64)info.freeswap * info.mem_unit >= window->size)
        return TRUE;
    return cvd_fail(
        error, CVD_ERROR_RESOURCES,
        "%s: %ju bytes are to be allocated, %ju are left to this control group; raise %s "
        "(MemoryMax=) or set window.prealloc to false",
        window_name(window), window->size, n_free, limit_file);
}

/* Memory that is promised and not there kills whoever touches it. */
static void warn_of_space(const CvdWindow *window)
{
    struct statvfs vfs;

    if (window->path == NULL || fstatvfs(window->fd, &vfs) < 0)
        return;
    guint64 n_free = (guint64)vfs.f_bavail * vfs.f_frsize;
    g_autofree char *directory = g_path_get_dirname(window->path);
    /* A file system without a limit says that it has no blocks at all. */
    if (vfs.f_blocks > 0 && n_free < window->size)
        g_warning("%s: it can have %ju bytes, but %ju are free in %s; when they are used up, who "
                  "writes to it dies of SIGBUS, QEMU too: free some there, remount it with a "
                  "larger size, or set window.prealloc",
                  window->path, window->size, n_free, directory);
}

/* A shared mapping of huge pages reserves them for the inode, beyond its own life. */
static gboolean reserve_hugepages(const CvdWindow *window, GError **error)
{
    void *memory = mmap(NULL, window->size, PROT_READ | PROT_WRITE, MAP_SHARED, window->fd, 0);

    if (memory == MAP_FAILED) {
        cvd_hugepages_set_error(window->hugepage_size, window->size, error);
        return FALSE;
    }
    munmap(memory, window->size);
    return TRUE;
}

static gboolean allocate(const CvdWindow *window, GError **error)
{
    if (window->hugepage_size > 0 && !reserve_hugepages(window, error))
        return FALSE;
    if (!window->prealloc) {
        warn_of_space(window);
        return TRUE;
    }
    if (window->hugepage_size == 0 && !check_cgroup(window, error))
        return FALSE;
    if (TEMP_FAILURE_RETRY(fallocate(window->fd, 0, 0, (off_t)window->size)) == 0)
        return TRUE;
    if (errno != ENOSPC && errno != ENOMEM && errno != EDQUOT)
        return fail(window, "fallocate", error);
    if (window->hugepage_size > 0)
        cvd_hugepages_set_error(window->hugepage_size, window->size, error);
    else
        set_space_error(window, errno, error);
    return FALSE;
}

/* @bytes of NULL stands for zeros. Only for huge pages, which are reserved: no SIGBUS. */
static gboolean write_mapped(const CvdWindow *window, guint64 offset, const void *bytes, gsize size,
                             GError **error)
{
    guint64 begin = offset - offset % window->hugepage_size;
    gsize lead = offset - begin;
    gsize length = lead + size + window->hugepage_size - 1;
    length -= length % window->hugepage_size;
    guchar *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, window->fd, (off_t)begin);

    if (memory == MAP_FAILED)
        return fail(window, "mmap", error);
    if (bytes != NULL)
        memcpy(memory + lead, bytes, size);
    else
        memset(memory + lead, 0, size);
    munmap(memory, length);
    return TRUE;
}

static gboolean write_bytes(const CvdWindow *window, guint64 offset, const guchar *bytes,
                            gsize size, GError **error)
{
    for (gsize done = 0; done < size;) {
        gssize n = TEMP_FAILURE_RETRY(
            pwrite(window->fd, bytes + done, size - done, (off_t)(offset + done)));
        if (n < 0 && (errno == ENOSPC || errno == ENOMEM || errno == EDQUOT)) {
            set_space_error(window, errno, error);
            return FALSE;
        }
        if (n <= 0)
            return fail(window, "pwrite", error);
        done += (gsize)n;
    }
    return TRUE;
}

static gboolean write_at(const CvdWindow *window, guint64 offset, const void *bytes, gsize size,
                         GError **error)
{
    if (window->hugepage_size > 0)
        return write_mapped(window, offset, bytes, size, error);
    return write_bytes(window, offset, bytes, size, error);
}

static gboolean write_descriptors(const CvdWindow *window, GError **error)
{
    g_autoptr(GBytes) descriptors = cvd_layout_get_descriptors(window->layout);
    gsize size;
    const void *bytes = g_bytes_get_data(descriptors, &size);

    return write_at(window, 0, bytes, size, error);
}

static gboolean punch(const CvdWindow *window, guint64 offset, guint64 size, GError **error)
{
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    return TEMP_FAILURE_RETRY(fallocate(window->fd, mode, (off_t)offset, (off_t)size)) == 0 ||
           fail(window, "punching a hole", error);
}

static gboolean write_zeros(const CvdWindow *window, guint64 offset, guint64 size, GError **error)
{
    static guchar zeros[ZEROS_SIZE];
    struct iovec iov[ZEROS_PER_CALL];

    while (size > 0) {
        guint64 planned = 0;
        int n_parts = 0;
        while (n_parts < ZEROS_PER_CALL && planned < size) {
            iov[n_parts].iov_base = zeros;
            iov[n_parts].iov_len = MIN(size - planned, ZEROS_SIZE);
            planned += iov[n_parts++].iov_len;
        }
        gssize n = TEMP_FAILURE_RETRY(pwritev(window->fd, iov, n_parts, (off_t)offset));
        if (n <= 0)
            return fail(window, "pwritev", error);
        offset += (guint64)n;
        size -= (guint64)n;
    }
    return TRUE;
}

/*
 * A hole is cheap and zeroes the pages that it covers in part too; it also gives memory back, which
 * a preallocated window must not.
 */
static gboolean zero(const CvdWindow *window, guint64 offset, guint64 size, GError **error)
{
    if (window->hugepage_size > 0)
        return write_mapped(window, offset, NULL, size, error);
    if (window->prealloc)
        return write_zeros(window, offset, size, error);
    return punch(window, offset, size, error);
}

/* A window with a name has no seals: whoever may open it can truncate it. */
static gboolean mend_size(CvdWindow *window, GError **error)
{
    struct stat st;

    if (window->path == NULL)
        return TRUE;
    if (fstat(window->fd, &st) < 0)
        return fail(window, "fstat", error);
    if ((guint64)st.st_size == window->size)
        return TRUE;
    if (cvd_log_limit_pass(&window->log_limit, g_get_monotonic_time()))
        g_warning("%s: somebody changed its size to %jd bytes; set back to %ju", window->path,
                  (goffset)st.st_size, window->size);
    if (ftruncate(window->fd, (off_t)window->size) < 0)
        return fail(window, "ftruncate", error);
    return TRUE;
}

static gboolean create_memfd(CvdWindow *window, GError **error)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

    if (window->hugepage_size > 0)
        flags |= MFD_HUGETLB | (unsigned)g_bit_nth_msf(window->hugepage_size, -1) << MFD_HUGE_SHIFT;
    window->fd = memfd_create("cvd-window", flags);
    if (window->fd < 0) {
        if (window->hugepage_size > 0 && (errno == ENODEV || errno == EINVAL)) {
            cvd_hugepages_set_error(window->hugepage_size, window->size, error);
            return FALSE;
        }
        return fail(window, "memfd_create", error);
    }
    if (fchmod(window->fd, 0600) < 0)
        return fail(window, "fchmod", error);
    if (ftruncate(window->fd, (off_t)window->size) < 0)
        return fail(window, "ftruncate", error);
    if (fcntl(window->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail(window, "sealing", error);
    return allocate(window, error) && write_descriptors(window, error);
}

static gboolean create_posix_shm(CvdWindow *window, const char *lock_dir, GError **error)
{
    window->name = cvd_shm_name_new(window->path, lock_dir, &window->fd, error);
    if (window->name == NULL)
        return FALSE;
    if (ftruncate(window->fd, (off_t)window->size) < 0)
        return fail(window, "ftruncate", error);
    return allocate(window, error) && write_descriptors(window, error) &&
           cvd_shm_name_link(window->name, window->fd, error);
}

CvdWindow *cvd_window_new(CvdLayout *layout, const CvdWindowOptions *options, GError **error)
{
    g_assert(options->backing == CVD_WINDOW_MEMFD ||
             (options->path != NULL && options->hugepage_size == 0));

    g_autoptr(CvdWindow) window = g_new0(CvdWindow, 1);
    window->layout = cvd_layout_ref(layout);
    window->fd = -1;
    window->size = layout->window_size;
    window->hugepage_size = options->hugepage_size;
    window->prealloc = options->prealloc;

    gboolean is_made = FALSE;
    switch (options->backing) {
    case CVD_WINDOW_MEMFD:
        is_made = create_memfd(window, error);
        break;
    case CVD_WINDOW_POSIX_SHM:
        window->path = g_strdup(options->path);
        is_made = create_posix_shm(window, options->lock_dir, error);
        break;
    }
    return is_made ? g_steal_pointer(&window) : NULL;
}

void cvd_window_free(CvdWindow *window)
{
    if (window == NULL)
        return;
    g_clear_pointer(&window->name, cvd_shm_name_free);
    cvd_close_fd(&window->fd);
    cvd_layout_unref(window->layout);
    g_free(window->path);
    g_free(window);
}

int cvd_window_get_fd(const CvdWindow *window)
{
    return window->fd;
}

int cvd_window_open_read_only(const CvdWindow *window, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", window->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                            "cannot open the window for reading only (is /proc mounted?)");
    return fd;
}

static guint32 read_word(const CvdWindow *window, guint32 offset)
{
    guint32 word = 0;

    return pread(window->fd, &word, sizeof word, (off_t)offset) == sizeof word
               ? GUINT32_FROM_LE(word)
               : 0;
}

gboolean cvd_window_says_ready(const CvdWindow *window)
{
    guint32 offset = cvd_layout_find_ready_word(window->layout);

    return offset != 0 && read_word(window, offset) == VSOC_READY;
}

void cvd_window_find_signalled(const CvdWindow *window, guint region, gboolean *to_guest,
                               gboolean *to_host)
{
    const CvdLayoutRegion *where = &window->layout->regions[region];
    guint32 guest_word = where->begin + where->host_to_guest.interrupt_signalled_offset;
    guint32 host_word = where->begin + where->guest_to_host.interrupt_signalled_offset;

    *to_guest |= read_word(window, guest_word) != 0;
    *to_host |= read_word(window, host_word) != 0;
}

gboolean cvd_window_reset_signals(CvdWindow *window, GError **error)
{
    guint32 ready_word = cvd_layout_find_ready_word(window->layout);

    if (!mend_size(window, error) || !write_descriptors(window, error) ||
        (ready_word != 0 && !zero(window, ready_word, sizeof(guint32), error)))
        return FALSE;
    for (guint i = 0; i < window->layout->n_regions; i++) {
        const CvdLayoutRegion *region = &window->layout->regions[i];
        /* Both tables and both words lie before the data, without a gap. */
        if (!zero(window, region->begin, region->data_offset, error))
            return FALSE;
    }
    return TRUE;
}

/* Of the content from @at on; without a file system that knows of holes, all is data. */
static off_t find_data(int fd, off_t at, off_t size, off_t *end)
{
    off_t data = lseek(fd, at, SEEK_DATA);

    if (data < 0 && errno == ENXIO)
        return size;
    off_t hole = data >= 0 ? lseek(fd, data, SEEK_HOLE) : -1;
    *end = hole >= 0 ? MIN(hole, size) : size;
    return data >= 0 ? data : at;
}

/* Returns: how many bytes went into the window, 0 on failure */
static gsize copy_piece(const CvdWindow *window, int fd, guint8 *bytes, gsize size, off_t at,
                        GError **error)
{
    gssize n = TEMP_FAILURE_RETRY(pread(fd, bytes, size, at));

    if (n < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: its saved content cannot be read",
                            window_name(window));
    if (n == 0)
        cvd_fail(error, CVD_ERROR_INVALID, "%s: its saved content became shorter while it was read",
                 window_name(window));
    return n > 0 && write_at(window, (guint64)at, bytes, (gsize)n, error) ? (gsize)n : 0;
}

static gboolean copy_content(const CvdWindow *window, int fd, GError **error)
{
    g_autofree guint8 *bytes = g_malloc(PIECE_SIZE);
    off_t size = (off_t)window->size, end = 0;

    for (off_t at = 0; at < size;) {
        if (at >= end)
            at = find_data(fd, at, size, &end);
        if (at >= size)
            break;
        gsize n = copy_piece(window, fd, bytes, (gsize)MIN(end - at, PIECE_SIZE), at, error);
        if (n == 0)
            return FALSE;
        at += (off_t)n;
    }
    return TRUE;
}

static gboolean check_content(const CvdWindow *window, int fd, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: its saved content: fstat",
                                   window_name(window));
    if (!S_ISREG(st.st_mode))
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: its saved content is no regular file",
                        window_name(window));
    return (guint64)st.st_size == window->size ||
           cvd_fail(error, CVD_ERROR_INVALID,
                    "%s: its saved content has %jd bytes, and the window has %ju: it is of another "
                    "layout",
                    window_name(window), (goffset)st.st_size, window->size);
}

gboolean cvd_window_fill(CvdWindow *window, int content_fd, GError **error)
{
    /* A guest can have overwritten the descriptors there. */
    return check_content(window, content_fd, error) && copy_content(window, content_fd, error) &&
           write_descriptors(window, error);
}

gboolean cvd_window_renew(CvdWindow *window, GError **error)
{
    return mend_size(window, error) && punch(window, 0, window->size, error) &&
           allocate(window, error) && write_descriptors(window, error);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window is written through its descriptor and never kept mapped, so no peer can bring a SIGBUS
 * upon the server. Huge pages cannot be written so; there a short-lived mapping does it, of pages
 * that were reserved when the window was made and whose number the seals keep. Its size costs
 * nothing: pages appear when they are touched, unless prealloc is asked for.
 *
 * A named window is claimed with a record lock (F_SETLK) on its inode. Such a lock belongs to the
 * process that took it. flock would belong to the open file description, which QEMU and the clients
 * share once they have been given the descriptor: it would outlive a launcher that was killed and
 * make its leftover look alive. A record lock also tells its holder's pid. Its weakness is that it
 * goes when the process closes any descriptor of the inode; so nothing here opens a window that
 * this process holds itself (own_windows).
 *
 * Names change hands only by those who hold the lock of the inode that the name stands for: who
 * finds a leftover locks it, looks again whether the name still means it, and unlinks it then. The
 * new inode is linked, locked already, where nothing is; if something is, all begins again.
 */
#include "server/window.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/vsoc-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define HUGEPAGES_DIRECTORY "/sys/kernel/mm/hugepages"
/* How often a name may be snatched away between finding it free and linking. */
#define LINK_ATTEMPTS  1000
#define ZEROS_SIZE     4096
#define ZEROS_PER_CALL 64

struct CvdWindow {
    CvdLayout *layout;
    int fd;
    char *path; /* NULL for a memfd */
    gboolean is_linked;
    dev_t device;
    ino_t inode;
    guint64 size;
    guint64 hugepage_size;
    gboolean prealloc;
};

/* The named windows of this process. */
static GSList *own_windows;

static struct vsoc_signal_table_layout table_descriptor(const CvdSignalTable *table)
{
    return (struct vsoc_signal_table_layout){
        .num_nodes_lg2 = GUINT32_TO_LE(table->num_nodes_lg2),
        .futex_uaddr_table_offset = GUINT32_TO_LE(table->table_offset),
        .interrupt_signalled_offset = GUINT32_TO_LE(table->interrupt_signalled_offset),
    };
}

static struct vsoc_device_region region_descriptor(const CvdLayoutRegion *region)
{
    struct vsoc_device_region descriptor = {
        .current_version = GUINT16_TO_LE(region->current_version),
        .min_compatible_version = GUINT16_TO_LE(region->min_compatible_version),
        .region_begin_offset = GUINT32_TO_LE(region->begin),
        .region_end_offset = GUINT32_TO_LE(region->end),
        .offset_of_region_data = GUINT32_TO_LE(region->data_offset),
        .guest_to_host_signal_table = table_descriptor(&region->guest_to_host),
        .host_to_guest_signal_table = table_descriptor(&region->host_to_guest),
        .managed_by = GUINT32_TO_LE(region->managed_by),
    };
    G_STATIC_ASSERT(sizeof descriptor.device_name == CVD_MAX_REGION_NAME + 1);
    g_strlcpy(descriptor.device_name, region->name, sizeof descriptor.device_name);
    return descriptor;
}

GBytes *cvd_window_descriptors(const CvdLayout *layout)
{
    gsize size =
        layout->region_desc_offset + (gsize)layout->n_regions * sizeof(struct vsoc_device_region);
    guchar *bytes = g_malloc0(size);
    struct vsoc_shm_layout_descriptor header = {
        .major_version = GUINT16_TO_LE(VSOC_LAYOUT_MAJOR_VERSION),
        .minor_version = GUINT16_TO_LE(VSOC_LAYOUT_MINOR_VERSION),
        .size = GUINT32_TO_LE(layout->window_size),
        .region_count = GUINT32_TO_LE(layout->n_regions),
        .vsoc_region_desc_offset = GUINT32_TO_LE(layout->region_desc_offset),
    };

    memcpy(bytes, &header, sizeof header);
    for (guint i = 0; i < layout->n_regions; i++) {
        struct vsoc_device_region descriptor = region_descriptor(&layout->regions[i]);
        memcpy(bytes + layout->region_desc_offset + i * sizeof descriptor, &descriptor,
               sizeof descriptor);
    }
    return g_bytes_new_take(bytes, size);
}

static const char *window_name(const CvdWindow *window)
{
    return window->path != NULL ? window->path : "window (memfd)";
}

static gboolean fail(const CvdWindow *window, const char *call, GError **error)
{
    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s", window_name(window), call);
    return FALSE;
}

static guint64 read_hugepage_number(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    return g_ascii_strtoull(text, NULL, 10);
}

static gboolean is_default_hugepage_size(guint64 size_kb)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return FALSE;
    const char *line = strstr(text, "Hugepagesize:");
    return line != NULL && g_ascii_strtoull(line + strlen("Hugepagesize:"), NULL, 10) == size_kb;
}

/* Says how many pages are needed and free, and where to get more. */
static void set_hugepage_error(const CvdWindow *window, GError **error)
{
    guint64 size_kb = window->hugepage_size / 1024;
    g_autofree char *directory =
        g_strdup_printf(HUGEPAGES_DIRECTORY "/hugepages-%" G_GUINT64_FORMAT "kB", size_kb);

    if (!g_file_test(directory, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                    "window.hugepages: this kernel has no huge pages of %" G_GUINT64_FORMAT
                    " kB (see " HUGEPAGES_DIRECTORY "); choose another size or none",
                    size_kb);
        return;
    }
    guint64 n_needed = window->size / window->hugepage_size;
    guint64 n_total = read_hugepage_number(directory, "nr_hugepages");
    guint64 n_free = read_hugepage_number(directory, "free_hugepages");
    guint64 n_reserved = read_hugepage_number(directory, "resv_hugepages");
    n_free -= MIN(n_free, n_reserved);
    guint64 n_wanted = n_total - MIN(n_total, n_free) + n_needed;
    g_autofree char *sysctl =
        is_default_hugepage_size(size_kb)
            ? g_strdup_printf("sysctl -w vm.nr_hugepages=%" G_GUINT64_FORMAT ", or ", n_wanted)
            : g_strdup("");
    g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                "window.hugepages: %" G_GUINT64_FORMAT " huge pages of %" G_GUINT64_FORMAT
                " kB are needed, %" G_GUINT64_FORMAT " are free; reserve more: %swrite "
                "%" G_GUINT64_FORMAT " to %s/nr_hugepages",
                n_needed, size_kb, n_free, sysctl, n_wanted, directory);
}

static void set_space_error(const CvdWindow *window, int saved_errno, GError **error)
{
    struct statvfs vfs;

    if (window->path == NULL || fstatvfs(window->fd, &vfs) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, saved_errno,
                            "%s: no memory for all of its %" G_GUINT64_FORMAT
                            " bytes at once; free some or set window.prealloc to false",
                            window_name(window), window->size);
        return;
    }
    g_autofree char *directory = g_path_get_dirname(window->path);
    g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                "%s: %" G_GUINT64_FORMAT " bytes are needed, %" G_GUINT64_FORMAT
                " are free in %s; free some there, or remount it with a larger size "
                "(mount -o remount,size=...)",
                window->path, window->size, (guint64)vfs.f_bavail * vfs.f_frsize, directory);
}

/* A shared mapping of huge pages reserves them for the inode, beyond its own life. */
static gboolean reserve_hugepages(const CvdWindow *window, GError **error)
{
    void *memory = mmap(NULL, window->size, PROT_READ | PROT_WRITE, MAP_SHARED, window->fd, 0);

    if (memory == MAP_FAILED) {
        set_hugepage_error(window, error);
        return FALSE;
    }
    munmap(memory, window->size);
    return TRUE;
}

static gboolean allocate(const CvdWindow *window, GError **error)
{
    int result;

    if (window->hugepage_size > 0 && !reserve_hugepages(window, error))
        return FALSE;
    if (!window->prealloc)
        return TRUE;
    do
        result = fallocate(window->fd, 0, 0, (off_t)window->size);
    while (result < 0 && errno == EINTR);
    if (result == 0)
        return TRUE;
    if (errno != ENOSPC && errno != ENOMEM && errno != EDQUOT)
        return fail(window, "fallocate", error);
    if (window->hugepage_size > 0)
        set_hugepage_error(window, error);
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

static gboolean write_bytes(const CvdWindow *window, const guchar *bytes, gsize size,
                            GError **error)
{
    for (gsize done = 0; done < size;) {
        gssize n = pwrite(window->fd, bytes + done, size - done, (off_t)done);
        if (n > 0)
            done += (gsize)n;
        else if (n == 0 || errno != EINTR)
            return fail(window, "pwrite", error);
    }
    return TRUE;
}

static gboolean write_descriptors(const CvdWindow *window, GError **error)
{
    g_autoptr(GBytes) descriptors = cvd_window_descriptors(window->layout);
    gsize size;
    const void *bytes = g_bytes_get_data(descriptors, &size);

    if (window->hugepage_size > 0)
        return write_mapped(window, 0, bytes, size, error);
    return write_bytes(window, bytes, size, error);
}

static gboolean punch(const CvdWindow *window, guint64 offset, guint64 size, GError **error)
{
    int result;

    do
        result = fallocate(window->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                           (off_t)size);
    while (result < 0 && errno == EINTR);
    return result == 0 || fail(window, "punching a hole", error);
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
        gssize n = pwritev(window->fd, iov, n_parts, (off_t)offset);
        if (n == 0 || (n < 0 && errno != EINTR))
            return fail(window, "pwritev", error);
        if (n > 0) {
            offset += (guint64)n;
            size -= (guint64)n;
        }
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
static gboolean mend_size(const CvdWindow *window, GError **error)
{
    struct stat st;

    if (window->path == NULL)
        return TRUE;
    if (fstat(window->fd, &st) < 0)
        return fail(window, "fstat", error);
    if ((guint64)st.st_size == window->size)
        return TRUE;
    g_warning("%s: somebody changed its size to %" G_GOFFSET_FORMAT " bytes; set back to "
              "%" G_GUINT64_FORMAT,
              window->path, (goffset)st.st_size, window->size);
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
            set_hugepage_error(window, error);
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

static gboolean is_own_window(const struct stat *st)
{
    for (GSList *l = own_windows; l != NULL; l = l->next) {
        const CvdWindow *other = l->data;
        if (other->device == st->st_dev && other->inode == st->st_ino)
            return TRUE;
    }
    return FALSE;
}

static gboolean set_busy_error(GError **error, const char *path, pid_t pid)
{
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                "%s: in use by process %d; stop it or choose another window.path", path, (int)pid);
    return FALSE;
}

static gboolean check_is_ours(const char *path, const struct stat *st, GError **error)
{
    if (!S_ISREG(st->st_mode)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: exists and is not a regular file; remove it or choose another "
                    "window.path",
                    path);
        return FALSE;
    }
    if (st->st_uid != geteuid()) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: owned by uid %u, not by uid %u; remove it or choose another window.path",
                    path, (unsigned)st->st_uid, (unsigned)geteuid());
        return FALSE;
    }
    return TRUE;
}

/*
 * Opens what has the name, with the lock of it. @leftover stays −1 when the name is free, or got
 * another meaning meanwhile.
 */
static gboolean lock_leftover(const char *path, int *leftover, GError **error)
{
    struct stat st, st_now;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (lstat(path, &st) < 0) {
        if (errno == ENOENT)
            return TRUE;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be examined", path);
        return FALSE;
    }
    if (!check_is_ours(path, &st, error))
        return FALSE;
    if (is_own_window(&st))
        return set_busy_error(error, path, getpid());
    cvd_autofd fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st_now) < 0) {
        if (errno == ENOENT)
            return TRUE;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                            "%s: cannot be opened; remove it or choose another window.path", path);
        return FALSE;
    }
    if (st_now.st_dev != st.st_dev || st_now.st_ino != st.st_ino)
        return TRUE;
    while (fcntl(fd, F_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: F_SETLK", path);
            return FALSE;
        }
        struct flock holder = lock;
        if (fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK)
            return set_busy_error(error, path, holder.l_pid);
    }
    *leftover = g_steal_fd(&fd);
    return TRUE;
}

static gboolean names_inode(const char *path, dev_t device, ino_t inode)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static gboolean remove_leftover(const char *path, int leftover, GError **error)
{
    struct stat st;

    if (leftover < 0 || fstat(leftover, &st) < 0 || !names_inode(path, st.st_dev, st.st_ino))
        return TRUE;
    if (unlink(path) < 0 && errno != ENOENT) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot remove the leftover", path);
        return FALSE;
    }
    g_message("%s: replaced the leftover of a launcher that is gone", path);
    return TRUE;
}

/* The leftover's lock is held until the new inode has its name: who comes meanwhile sees us. */
static gboolean link_window(CvdWindow *window, GError **error)
{
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", window->fd);

    for (guint i = 0; i < LINK_ATTEMPTS; i++) {
        cvd_autofd leftover = -1;
        if (!lock_leftover(window->path, &leftover, error) ||
            !remove_leftover(window->path, leftover, error))
            return FALSE;
        if (linkat(AT_FDCWD, source, AT_FDCWD, window->path, AT_SYMLINK_FOLLOW) == 0) {
            window->is_linked = TRUE;
            return TRUE;
        }
        if (errno != EEXIST)
            return fail(window, "cannot get its name (linkat)", error);
    }
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%s: others keep making this name", window->path);
    return FALSE;
}

static gboolean open_unnamed(CvdWindow *window, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(window->path);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;

    window->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (window->fd < 0) {
        int saved_errno = errno;
        gboolean is_unable = saved_errno == EOPNOTSUPP || saved_errno == EISDIR;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, saved_errno,
                            is_unable ? "%s: the file system of %s has no unnamed files "
                                        "(O_TMPFILE); use one that has, such as /dev/shm"
                                      : "%s: cannot make a file in %s",
                            window->path, directory);
        return FALSE;
    }
    if (fchmod(window->fd, 0600) < 0)
        return fail(window, "fchmod", error);
    if (fstat(window->fd, &st) < 0)
        return fail(window, "fstat", error);
    if (fcntl(window->fd, F_SETLK, &lock) < 0)
        return fail(window, "F_SETLK", error);
    window->device = st.st_dev;
    window->inode = st.st_ino;
    own_windows = g_slist_prepend(own_windows, window);
    return TRUE;
}

static gboolean create_posix_shm(CvdWindow *window, GError **error)
{
    cvd_autofd leftover = -1;

    /* Early, so that a taken name is told rather than a lack of space; and a leftover found now is
     * kept locked, so that of several launchers the first to find it has it. */
    if (!lock_leftover(window->path, &leftover, error) || !open_unnamed(window, error))
        return FALSE;
    cvd_close_fd(&leftover);
    if (ftruncate(window->fd, (off_t)window->size) < 0)
        return fail(window, "ftruncate", error);
    return allocate(window, error) && write_descriptors(window, error) &&
           link_window(window, error);
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
        is_made = create_posix_shm(window, error);
        break;
    }
    return is_made ? g_steal_pointer(&window) : NULL;
}

void cvd_window_free(CvdWindow *window)
{
    if (window == NULL)
        return;
    if (window->is_linked && names_inode(window->path, window->device, window->inode))
        unlink(window->path);
    own_windows = g_slist_remove(own_windows, window);
    cvd_close_fd(&window->fd);
    cvd_layout_unref(window->layout);
    g_free(window->path);
    g_free(window);
}

int cvd_window_get_fd(const CvdWindow *window)
{
    return window->fd;
}

gboolean cvd_window_reset_signals(CvdWindow *window, GError **error)
{
    if (!mend_size(window, error))
        return FALSE;
    for (guint i = 0; i < window->layout->n_regions; i++) {
        const CvdLayoutRegion *region = &window->layout->regions[i];
        /* Both tables and both words lie before the data, without a gap. */
        if (!zero(window, region->begin, region->data_offset, error))
            return FALSE;
    }
    return TRUE;
}

gboolean cvd_window_renew(CvdWindow *window, GError **error)
{
    return mend_size(window, error) && punch(window, 0, window->size, error) &&
           allocate(window, error) && write_descriptors(window, error);
}

/* Stands in for NVIDIA's management library: it says what the file beside it says, whose name is its own with ".gpus" after it.
 *
 *   init CODE                                   what nvmlInit_v2 returns
 *   hold                                        nvmlDeviceGetCount_v2 waits until the file ".held" can be read to its end
 *   device UUID MODEL CODE TOTAL USED BUSY      CODE is what each question to it returns
 *   part DEVICE UUID MODEL TOTAL USED           of a divided device
 *   process DEVICE KIND PID BYTES               KIND is compute or graphics; a part is device 100 + its number
 *   time DEVICE PID AGE SM ENC DEC              sampled AGE microseconds ago
 *
 * Only what the reader calls is here. NO_UTILIZATION and NO_SHUTDOWN leave functions out, as old libraries do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };

typedef unsigned long long u64;
struct device { char uuid[96], model[96]; int code; u64 total, used; unsigned busy; int parent; };
struct process { unsigned pid; u64 bytes; unsigned instance, part; };
struct sample { unsigned pid; u64 at; unsigned sm, mem, enc, dec; };
struct memory { unsigned version; u64 total, reserved, free, used; };
struct rates { unsigned gpu, memory; };

#define MOST 256
static struct { struct process p; int device, graphics; } processes[MOST];
static struct { struct sample s; int device; } samples[MOST];
static struct device devices[MOST];
static int init, hold, count, parts, process_count, sample_count;

static void path(char *to, size_t size, const char *suffix)
{
	Dl_info self;
	dladdr((void *)path, &self);
	snprintf(to, size, "%s%s", self.dli_fname, suffix);
}

static u64 now(void)
{
	struct timeval time;
	gettimeofday(&time, NULL);
	return (u64)time.tv_sec * 1000000 + time.tv_usec;
}

/* Parts stand from 100 on. */
static void load(void)
{
	char name[4096], line[512];
	init = hold = count = parts = process_count = sample_count = 0;
	path(name, sizeof name, ".gpus");
	FILE *file = fopen(name, "r");
	while (file && fgets(line, sizeof line, file)) {
		struct device d = { .parent = -1 };
		struct process p = { .instance = -1, .part = -1 };
		struct sample s = { 0 };
		char kind[16];
		int device;
		u64 age;
		if (!strncmp(line, "hold", 4))
			hold = 1;
		else if (sscanf(line, "init %d", &device) == 1)
			init = device;
		else if (sscanf(line, "device %95s %95s %d %llu %llu %u", d.uuid, d.model, &d.code, &d.total, &d.used, &d.busy) == 6)
			devices[count++] = d;
		else if (sscanf(line, "part %d %95s %95s %llu %llu", &d.parent, d.uuid, d.model, &d.total, &d.used) == 5)
			devices[100 + parts++] = d;
		else if (sscanf(line, "process %d %15s %u %llu", &device, kind, &p.pid, &p.bytes) == 4) {
			processes[process_count].p = p;
			processes[process_count].device = device;
			processes[process_count++].graphics = !strcmp(kind, "graphics");
		} else if (sscanf(line, "time %d %u %llu %u %u %u", &device, &s.pid, &age, &s.sm, &s.enc, &s.dec) == 6) {
			s.at = now() - age;
			samples[sample_count].device = device;
			samples[sample_count++].s = s;
		}
	}
	if (file)
		fclose(file);
}

#define INDEX(handle) ((int)((struct device *)(handle)-devices))

int nvmlInit_v2(void)
{
	load();
	return init;
}

#ifndef NO_SHUTDOWN
int nvmlShutdown(void) { return SUCCESS; }
#endif

/* The first question of each look. */
int nvmlDeviceGetCount_v2(unsigned *to)
{
	load();
	if (hold) {
		char name[4096], byte;
		path(name, sizeof name, ".held");
		int held = open(name, O_RDONLY);
		while (read(held, &byte, 1) > 0)
			;
		close(held);
		load();
	}
	*to = count;
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **to)
{
	*to = &devices[index];
	return index < (unsigned)count ? SUCCESS : INVALID;
}

static int text(char *to, unsigned size, const struct device *device, const char *text)
{
	snprintf(to, size, "%s", text);
	return device->code;
}

int nvmlDeviceGetUUID(struct device *device, char *to, unsigned size) { return text(to, size, device, device->uuid); }
int nvmlDeviceGetName(struct device *device, char *to, unsigned size) { return text(to, size, device, device->model); }

int nvmlDeviceGetMemoryInfo_v2(struct device *device, struct memory *to)
{
	to->total = device->total;
	to->used = device->used;
	to->free = device->total - device->used;
	return device->code;
}

int nvmlDeviceGetUtilizationRates(struct device *device, struct rates *to)
{
	to->gpu = device->busy;
	to->memory = 0;
	return device->parent >= 0 ? NOT_SUPPORTED : device->code;
}

int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending)
{
	int divided = 0;
	for (int i = 100; i < 100 + parts; i++)
		divided |= devices[i].parent == INDEX(device);
	*current = *pending = divided;
	return divided ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *to)
{
	(void)device;
	*to = 7;
	return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, void **to)
{
	for (int i = 100; i < 100 + parts; i++)
		if (devices[i].parent == INDEX(device) && index-- == 0) {
			*to = &devices[i];
			return SUCCESS;
		}
	return NOT_FOUND;
}

static int running(struct device *device, unsigned *room, struct process *to, int graphics)
{
	unsigned found = 0;
	if (device->code)
		return device->code;
	for (int i = 0; i < process_count; i++)
		if (processes[i].device == INDEX(device) && processes[i].graphics == graphics) {
			if (to && found < *room)
				to[found] = processes[i].p;
			found++;
		}
	int fits = to ? found <= *room : found == 0;
	*room = found;
	return fits ? SUCCESS : TOO_SMALL;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct device *device, unsigned *room, struct process *to)
{
	return running(device, room, to, 0);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(struct device *device, unsigned *room, struct process *to)
{
	return running(device, room, to, 1);
}

#ifndef NO_UTILIZATION
int nvmlDeviceGetProcessUtilization(struct device *device, struct sample *to, unsigned *room, u64 since)
{
	unsigned found = 0;
	if (device->parent >= 0)
		return NOT_SUPPORTED;
	for (int i = 0; i < sample_count; i++)
		if (samples[i].device == INDEX(device) && samples[i].s.at > since) {
			if (to && found < *room)
				to[found] = samples[i].s;
			found++;
		}
	if (found == 0)
		return NOT_FOUND;
	int fits = to && found <= *room;
	*room = found;
	return fits ? SUCCESS : TOO_SMALL;
}
#endif

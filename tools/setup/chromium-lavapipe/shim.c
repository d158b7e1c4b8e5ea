// Replaces SwiftShader's Vulkan library in Chromium, and provides Mesa's lavapipe instead.
// Dawn opens libvk_swiftshader.so itself and accepts the device only under SwiftShader's PCI ids, so every function is
// lavapipe's own, except the three that report the ids. LAVAPIPE is the driver's library, given by build.ts.
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*GetProcAddr)(void *instance, const char *name);
typedef void (*GetProperties)(void *physical_device, void *properties);

enum { GOOGLE = 0x1AE0, SWIFTSHADER = 0xC0DE };

// The first fields of VkPhysicalDeviceProperties and VkPhysicalDeviceProperties2, which are read here.
struct Properties { uint32_t api_version, driver_version, vendor_id, device_id; };
struct Properties2 { uint32_t type; void *next; struct Properties properties; };

static GetProcAddr lavapipe(void) {
  static GetProcAddr found;
  if (found) return found;
  void *library = dlopen(LAVAPIPE, RTLD_NOW | RTLD_LOCAL);
  if (library) found = (GetProcAddr)dlsym(library, "vk_icdGetInstanceProcAddr");
  if (!found) fprintf(stderr, "chromium-lavapipe: %s\n", dlerror());
  return found;
}

static void pose(struct Properties *properties) {
  properties->vendor_id = GOOGLE;
  properties->device_id = SWIFTSHADER;
}

// Both spellings of the second function are the same in lavapipe.
static GetProperties get_properties, get_properties2;

static void posing_properties(void *device, void *out) {
  get_properties(device, out);
  pose(out);
}

static void posing_properties2(void *device, void *out) {
  get_properties2(device, out);
  pose(&((struct Properties2 *)out)->properties);
}

__attribute__((visibility("default"))) Function vkGetInstanceProcAddr(void *instance, const char *name) {
  if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)vkGetInstanceProcAddr;
  GetProcAddr get = lavapipe();
  Function function = get ? get(instance, name) : NULL;
  if (!function) return NULL;
  if (strcmp(name, "vkGetPhysicalDeviceProperties") == 0) {
    get_properties = (GetProperties)function;
    return (Function)posing_properties;
  }
  if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0 || strcmp(name, "vkGetPhysicalDeviceProperties2KHR") == 0) {
    get_properties2 = (GetProperties)function;
    return (Function)posing_properties2;
  }
  return function;
}

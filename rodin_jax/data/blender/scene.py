"""A Blender scene of meshes and strands: objects, lights, camera and Cycles' settings."""

import numpy as np

from rodin_jax.data.blender import materials
from rodin_jax.data.blender.parts import Part, Strands, Surface

# Name -> position, watts, edge of the square in world units, colour. All are fixed to the
# world, so every camera sees the same light.
_LIGHTS = {
    "key": ((-2.2, -3.2, 2.9), 168.0, 2.6, (1.0, 0.96, 0.91)),
    "fill": ((3.2, -2.6, 0.9), 75.0, 3.2, (0.90, 0.95, 1.0)),
    "rim": ((1.4, 3.4, 2.6), 150.0, 2.2, (1.0, 0.98, 0.95)),
}
_AMBIENT = 0.5


def empty(samples: int, threads: int):
    """Forgets everything and returns Blender's scene with lights, a camera and Cycles set up.

    Args:
      samples: rays through each pixel.
      threads: of the renderer; 0 takes every core.
    """
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine, cycles.device = "CYCLES", "CPU"
    cycles.samples, cycles.seed = samples, 0
    cycles.use_adaptive_sampling = False
    # Open Image Denoise sees albedo and normals too, which keeps strands apart.
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 8, 2, 4
    cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 12
    cycles.sample_clamp_indirect = 4.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    scene.cycles_curves.shape = "RIBBONS"
    render.film_transparent = True
    render.threads_mode, render.threads = ("FIXED", threads) if threads else ("AUTO", 1)
    render.use_persistent_data = True  # the same scene from many cameras
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.resolution_percentage, render.dither_intensity = 100, 0.0
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    _light(scene)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return scene


def _light(scene) -> None:
    import bpy
    from mathutils import Vector

    for name, (place, watts, edge, colour) in _LIGHTS.items():
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.energy, lamp.size, lamp.color = watts, edge, colour
        lamp_object = bpy.data.objects.new(name, lamp)
        lamp_object.location = place
        lamp_object.rotation_euler = Vector(place).to_track_quat("Z", "Y").to_euler()
        lamp_object.visible_camera = False
        scene.collection.objects.link(lamp_object)
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = _AMBIENT
    scene.world = world


def add_part(scene, part: Part) -> None:
    """Puts a mesh into the scene."""
    import bpy

    mesh = bpy.data.meshes.new(part.surface.kind)
    mesh.from_pydata(part.vertices.tolist(), [], part.faces.tolist())
    mesh.shade_smooth()
    coloured = part.colours is not None
    if coloured:
        _colour(mesh, "POINT", part.colours)
    if part.surface.pattern != "plain":
        _cloth(mesh, part.vertices, part.surface.pattern)
    mesh.materials.append(materials.build(part.surface, coloured))
    scene.collection.objects.link(bpy.data.objects.new(part.surface.kind, mesh))


def add_strands(scene, strands: Strands) -> None:
    """Puts hair into the scene, as Blender's curves."""
    import bpy

    count, points = strands.points.shape[:2]
    curves = bpy.data.hair_curves.new("hair")
    curves.add_curves([points] * count)
    curves.position_data.foreach_set("vector", strands.points.astype(np.float32).ravel())
    radius = curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", strands.radius.astype(np.float32).ravel())
    _colour(curves, "CURVE", strands.colours)
    curves.materials.append(materials.build(Surface("hair"), True))
    scene.collection.objects.link(bpy.data.objects.new("hair", curves))


def _colour(data, domain: str, colours) -> None:
    attribute = data.attributes.new("colour", "FLOAT_COLOR", domain)
    rgba = np.ones((len(colours), 4), np.float32)
    rgba[:, :3] = materials.linear(colours)
    attribute.data.foreach_set("color", rgba.ravel())


def _cloth(mesh, vertices, pattern: str) -> None:
    """Coordinates of the weave: way around the body and along it, in world units."""
    around = 0.62 * np.arcsin(np.clip(vertices[:, 0] / 0.68, -0.98, 0.98))
    # Stripes are level; rows of dots follow the cloth over the shoulders.
    along = vertices[:, 2] - 0.7 * np.abs(vertices[:, 1] - 0.06) * (pattern == "dotted")
    weave = np.stack([around, along, 0 * around], axis=-1)
    attribute = mesh.attributes.new("cloth", "FLOAT_VECTOR", "POINT")
    attribute.data.foreach_set("vector", weave.astype(np.float32).ravel())

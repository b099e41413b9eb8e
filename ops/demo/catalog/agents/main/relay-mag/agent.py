"""Stamps six parcels, one after the other."""


async def run(payload, ctx):
    stamped = [await ctx.skill("stamp", {"parcel": parcel, "log": payload["log"]}) for parcel in range(1, 7)]
    return {"stamped": [stamp["parcel"] for stamp in stamped]}
